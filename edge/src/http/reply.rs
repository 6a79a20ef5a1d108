//! Replies, made of static parts wherever they can be.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, LOCATION,
    PRAGMA, RETRY_AFTER,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use proto_model::Reason;
use std::cell::RefCell;

pub type Reply = Response<Full<Bytes>>;

pub const REASON: HeaderName = HeaderName::from_static("x-tributary-reason");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GIF_TYPE: HeaderValue = HeaderValue::from_static("image/gif");

/// One transparent pixel.
pub const GIF: &[u8; 43] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x21\xf9\x04\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

/// Header maps that a thread keeps, at most. About as many requests are under way at a time.
const KEPT_MAPS: usize = 256;

thread_local! {
    /// Of requests that were answered, for replies to come: a map is two allocations, and hyper uses those of replies
    /// for requests in turn.
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the map of a request that is over for a reply.
pub fn recycle(mut headers: HeaderMap) {
    headers.clear();
    MAPS.with_borrow_mut(|maps| {
        // One that had to grow for many headers is not worth its memory.
        if maps.len() < KEPT_MAPS && headers.capacity() <= 64 {
            maps.push(headers);
        }
    });
}

pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.headers_mut() = MAPS.with_borrow_mut(Vec::pop).unwrap_or_default();
    *reply.status_mut() = status;
    reply.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    reply
}

fn with_body(status: StatusCode, kind: HeaderValue, body: Bytes) -> Reply {
    let mut reply = empty(status);
    *reply.body_mut() = Full::new(body);
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// `None` when `url` cannot stand in a header, which a checked snapshot rules out.
pub fn redirect(url: &str) -> Option<Reply> {
    let location = HeaderValue::from_str(url).ok()?;
    let mut reply = empty(StatusCode::FOUND);
    reply.headers_mut().insert(LOCATION, location);
    Some(reply)
}

pub fn text(status: StatusCode, body: String) -> Reply {
    with_body(status, TEXT, body.into())
}

pub fn html(status: StatusCode, body: String) -> Reply {
    with_body(status, HTML, body.into())
}

pub fn json(status: StatusCode, body: String) -> Reply {
    with_body(status, JSON, body.into())
}

pub fn json_refusal(status: StatusCode, reason: Reason) -> Reply {
    json(status, format!("{{\"status\":\"refused\",\"reason\":\"{reason}\"}}\n"))
}

pub fn script(body: Bytes) -> Reply {
    with_body(StatusCode::OK, HeaderValue::from_static("text/javascript; charset=utf-8"), body)
}

/// A page with nothing on it, for a frame.
pub fn blank() -> Reply {
    with_body(StatusCode::OK, HTML, Bytes::from_static(b"<!doctype html><title></title>\n"))
}

pub fn gif() -> Reply {
    let mut reply = with_body(StatusCode::OK, GIF_TYPE, Bytes::from_static(GIF));
    let headers = reply.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(CACHE_CONTROL, "no-store, no-cache, must-revalidate, private");
    set(PRAGMA, "no-cache");
    set(EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT");
    set(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    reply
}

/// The pages a shopper may meet. They say what happened, and nothing of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    NotFound,
    Forbidden,
    TooMany,
    Unavailable,
    BadRequest,
    MethodNotAllowed,
}

macro_rules! page {
    ($en:literal, $zh:literal) => {
        concat!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">",
            "<meta name=\"viewport\" content=\"width=device-width\"><title>",
            $en,
            "</title><p>",
            $en,
            "</p><p lang=\"zh-CN\">",
            $zh,
            "</p></html>\n"
        )
    };
}

pub fn page(page: Page) -> Reply {
    let (status, html) = match page {
        Page::NotFound => (
            StatusCode::NOT_FOUND,
            page!(
                "This link leads nowhere. It may be mistyped or expired.",
                "此链接无效，可能输入有误或已过期。"
            ),
        ),
        Page::Forbidden => {
            (StatusCode::FORBIDDEN, page!("This link is not available to you.", "您无法访问此链接。"))
        }
        Page::TooMany => (
            StatusCode::TOO_MANY_REQUESTS,
            page!("Too many requests. Please try again in a moment.", "请求过于频繁，请稍后再试。"),
        ),
        Page::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, page!("Please try again in a moment.", "请稍后再试。"))
        }
        Page::BadRequest => {
            (StatusCode::BAD_REQUEST, page!("This request is malformed.", "请求格式不正确。"))
        }
        Page::MethodNotAllowed => (
            StatusCode::METHOD_NOT_ALLOWED,
            page!("This address does not take such requests.", "此地址不支持该请求方法。"),
        ),
    };
    with_body(status, HTML, Bytes::from_static(html.as_bytes()))
}

pub fn retry_after(reply: &mut Reply, seconds: u64) {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}

pub fn set_reason(reply: &mut Reply, reason: Reason) {
    reply.headers_mut().insert(REASON, HeaderValue::from_static(reason.as_str()));
}

/// For what hyper refuses by itself, before there is a request: the same status, with the reason.
pub fn unparsed(status: &[u8]) -> Option<(Reason, &'static [u8])> {
    macro_rules! canned {
        ($status:literal, $reason:literal) => {
            concat!(
                "HTTP/1.1 ",
                $status,
                "\r\ncache-control: no-store\r\nx-tributary-reason: ",
                $reason,
                "\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            .as_bytes()
        };
    }
    Some(match status {
        b"400" => (Reason::MalformedRequest, canned!("400 Bad Request", "malformed_request")),
        b"414" => (Reason::HeadersTooLarge, canned!("414 URI Too Long", "headers_too_large")),
        b"431" => {
            (Reason::HeadersTooLarge, canned!("431 Request Header Fields Too Large", "headers_too_large"))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_second_header() {
        assert!(redirect("https://shop.example/?a=b\r\nSet-Cookie: x").is_none());
        assert!(redirect("https://shop.example/\u{0}").is_none());
        let reply = redirect("https://shop.example/?click_id=x#top").unwrap();
        assert_eq!(reply.headers()[LOCATION], "https://shop.example/?click_id=x#top");
        assert_eq!(reply.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn nothing_of_a_request_is_left_in_the_map_of_a_reply() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", "secret".parse().unwrap());
        headers.append("cookie", "another".parse().unwrap());
        recycle(headers);
        let reply = empty(StatusCode::FOUND);
        assert_eq!(reply.headers().iter().collect::<Vec<_>>(), [(&CACHE_CONTROL, &NO_STORE)]);
        for _ in 0..KEPT_MAPS * 2 {
            recycle(HeaderMap::with_capacity(8));
        }
        assert_eq!(MAPS.with_borrow(Vec::len), KEPT_MAPS);
    }

    #[test]
    fn canned_refusals_name_their_reasons() {
        for status in ["400", "414", "431"] {
            let (reason, bytes) = unparsed(status.as_bytes()).unwrap();
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(text.contains(&format!("x-tributary-reason: {reason}\r\n")), "{text}");
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with("\r\n\r\n"));
        }
        assert_eq!(unparsed(b"500"), None);
    }

    #[test]
    fn the_pixel_is_never_cached() {
        let reply = gif();
        assert!(reply.headers()[CACHE_CONTROL].to_str().unwrap().contains("no-store"));
        assert_eq!((&GIF[..6], GIF[42]), (&b"GIF89a"[..], b';'));
    }
}
