//! What must be known of an answer: its status, and where it ends.

/// More than servers send; an answer with more is garbled to us.
const MAX_HEADERS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    /// Head and body, in bytes.
    pub len: usize,
    /// The server closes the connection behind it.
    pub closes: bool,
    /// It carries `X-Tributary-Reason`: what was asked for was not done, whatever the status.
    pub refused: bool,
}

/// Not HTTP/1.1, or an answer whose length is not announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Garbled;

/// `None` = there is more to come.
pub fn parse(bytes: &[u8]) -> Result<Option<Answer>, Garbled> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_len) = head.parse(bytes).map_err(|_| Garbled)? else {
        return Ok(None);
    };
    let status = head.code.ok_or(Garbled)?;
    let mut body_len = matches!(status, 204 | 304).then_some(0);
    let (mut closes, mut refused) = (head.version == Some(0), false);
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Garbled)?;
            body_len = Some(text.trim().parse().map_err(|_| Garbled)?);
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("x-tributary-reason") {
            refused = true;
        }
    }
    let len = head_len.checked_add(body_len.ok_or(Garbled)?).ok_or(Garbled)?;
    Ok((len <= bytes.len()).then_some(Answer { status, len, closes, refused }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_it_says() {
        let plain = |status, len| Ok(Some(Answer { status, len, closes: false, refused: false }));
        let cases: [(&str, Result<Option<Answer>, Garbled>); 10] = [
            ("", Ok(None)),
            ("HTTP/1.1 302 Found\r\nlocation: x\r\n", Ok(None)),
            ("HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nab", Ok(None)),
            ("HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nabcHTTP", plain(302, 44)),
            ("HTTP/1.1 204 No Content\r\n\r\n", plain(204, 27)),
            ("HTTP/1.1 200 OK\r\n\r\n", Err(Garbled)),
            ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", Err(Garbled)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(Garbled)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n", Err(Garbled)),
            ("this is not HTTP\r\n\r\n", Err(Garbled)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn closing_and_refusing_are_noticed() {
        let text = "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Tributary-Reason: duplicate\r\ncontent-length: 0\r\n\r\n";
        let answer = parse(text.as_bytes()).unwrap().unwrap();
        assert!(answer.closes && answer.refused);
        let old = parse(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap();
        assert!(old.closes && !old.refused);
    }
}
