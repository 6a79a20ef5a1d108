//! What must be known of an answer: its status, whether it is what was asked for, and where it ends.

use http::header::{CONTENT_LENGTH, LOCATION};

/// More than servers send; an answer with more is garbled to us.
const MAX_HEADERS: usize = 64;
const REASON: &str = "x-tributary-reason";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Head and body, in bytes; of HTTP/2 and HTTP/3 the body alone.
    pub len: usize,
    /// The server closes the connection behind it.
    pub closes: bool,
    /// It carries `X-Tributary-Reason`: what was asked for was not done, whatever the status.
    pub refused: bool,
    /// It names a place to go to.
    pub located: bool,
    /// Its body is a GIF, from the first byte to the last.
    pub gif: bool,
}

/// What every answer of a run must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    #[default]
    Anything,
    /// 302 with a `Location`.
    Redirect,
    /// 200 with the bytes of a GIF.
    Gif,
}

/// Not HTTP/1.1, or an answer whose length is not announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Garbled;

impl Expect {
    pub fn met_by(self, answer: &Answer) -> bool {
        match self {
            Self::Anything => true,
            Self::Redirect => answer.status == 302 && answer.located,
            Self::Gif => answer.status == 200 && answer.gif,
        }
    }
}

impl std::str::FromStr for Expect {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "anything" => Ok(Self::Anything),
            "redirect" => Ok(Self::Redirect),
            "gif" => Ok(Self::Gif),
            _ => Err("anything, redirect or gif"),
        }
    }
}

impl Answer {
    /// Of a transport that has parsed the head itself.
    pub fn of(head: &http::response::Parts, body: &[u8]) -> Self {
        Self {
            status: head.status.as_u16(),
            len: body.len(),
            closes: false,
            refused: head.headers.contains_key(REASON),
            located: head.headers.get(LOCATION).is_some_and(|place| !place.is_empty()),
            gif: is_gif(body),
        }
    }
}

fn is_gif(body: &[u8]) -> bool {
    (body.starts_with(b"GIF89a") || body.starts_with(b"GIF87a")) && body.ends_with(b";")
}

/// `None` = there is more to come.
pub fn parse(bytes: &[u8]) -> Result<Option<Answer>, Garbled> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_len) = head.parse(bytes).map_err(|_| Garbled)? else {
        return Ok(None);
    };
    let status = head.code.ok_or(Garbled)?;
    let mut body_len = matches!(status, 204 | 304).then_some(0);
    let mut answer = Answer { status, closes: head.version == Some(0), ..Answer::default() };
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) {
            let text = std::str::from_utf8(header.value).map_err(|_| Garbled)?;
            body_len = Some(text.trim().parse().map_err(|_| Garbled)?);
        } else if header.name.eq_ignore_ascii_case("connection") {
            answer.closes = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case(LOCATION.as_str()) {
            answer.located = !header.value.is_empty();
        } else if header.name.eq_ignore_ascii_case(REASON) {
            answer.refused = true;
        }
    }
    answer.len = head_len.checked_add(body_len.ok_or(Garbled)?).ok_or(Garbled)?;
    let Some(body) = bytes.get(head_len..answer.len) else { return Ok(None) };
    answer.gif = is_gif(body);
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_it_says() {
        let plain = |status, len, located| Ok(Some(Answer { status, len, located, ..Answer::default() }));
        let cases: [(&str, Result<Option<Answer>, Garbled>); 10] = [
            ("", Ok(None)),
            ("HTTP/1.1 302 Found\r\nlocation: x\r\n", Ok(None)),
            ("HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nab", Ok(None)),
            ("HTTP/1.1 302 Found\r\nlocation: x\r\nContent-Length: 3\r\n\r\nabcHTTP", plain(302, 57, true)),
            ("HTTP/1.1 204 No Content\r\n\r\n", plain(204, 27, false)),
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

    #[test]
    fn an_answer_is_what_was_asked_for_on_every_transport() {
        let gif = "GIF89a...;";
        let cases = [
            (302, "https://shop.example/", "", [true, true, false]),
            (302, "", "", [true, false, false]),
            (404, "https://shop.example/", "", [true, false, false]),
            (200, "", gif, [true, false, true]),
            (200, "", "GIF89a..", [true, false, false]),
            (503, "", gif, [true, false, false]),
        ];
        for (status, place, body, expected) in cases {
            let text = format!(
                "HTTP/1.1 {status} X\r\nlocation: {place}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let response = http::Response::builder().status(status).header(LOCATION, place).body(()).unwrap();
            let others = Answer::of(&response.into_parts().0, body.as_bytes());
            for answer in [parse(text.as_bytes()).unwrap().unwrap(), others] {
                let met = [Expect::Anything, Expect::Redirect, Expect::Gif].map(|e| e.met_by(&answer));
                assert_eq!(met, expected, "{status} {place} {body}");
            }
        }
        assert_eq!("gif".parse(), Ok(Expect::Gif));
        assert!("jpeg".parse::<Expect>().is_err());
    }
}
