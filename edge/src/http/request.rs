//! What a request is, before anything is looked up.

use crate::metrics::Route;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Version, request};
use std::net::IpAddr;

/// The addresses an edge answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'r> {
    Click(&'r str),
    Pixel(&'r str),
    Postback(&'r str),
    Live,
    Ready,
    Metrics,
    Nothing,
}

impl<'r> Target<'r> {
    pub fn of(path: &'r str) -> Self {
        let one_segment = |rest: &'r str| Some(rest).filter(|rest| !rest.contains('/'));
        if let Some(id) = path.strip_prefix("/c/").and_then(one_segment) {
            return Self::Click(id);
        }
        if let Some(file) = path.strip_prefix("/p/").and_then(one_segment) {
            return file.strip_suffix(".gif").map_or(Self::Nothing, Self::Pixel);
        }
        if let Some(id) = path.strip_prefix("/postback/").and_then(one_segment) {
            return Self::Postback(id);
        }
        match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            _ => Self::Nothing,
        }
    }

    pub fn route(self) -> Route {
        match self {
            Self::Click(_) => Route::Click,
            Self::Pixel(_) => Route::Pixel,
            Self::Postback(_) => Route::Postback,
            Self::Live | Self::Ready | Self::Metrics | Self::Nothing => Route::Other,
        }
    }

    /// The value of `Allow`.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Postback(_) => "GET, POST",
            _ => "GET, HEAD",
        }
    }

    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Postback(_) => method == Method::GET || method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// HTTP/1.1 wants exactly one Host. Two of them mean that somebody along the way saw another request.
pub fn names_one_host(parts: &request::Parts) -> bool {
    let hosts = parts.headers.get_all(HOST).iter().count();
    hosts == 1 || (hosts == 0 && parts.version == Version::HTTP_10)
}

/// A browser fetching ahead: nobody has clicked.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].into_iter().any(|name| {
        headers.get_all(name).iter().any(|value| contains_ignoring_case(value.as_bytes(), b"prefetch"))
    })
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// The client by the rules of [`crate::ip::client_ip`].
pub fn client_ip(peer: IpAddr, trusted: &[ipnet::IpNet], headers: &HeaderMap) -> IpAddr {
    if trusted.is_empty() {
        return crate::ip::canonical(peer);
    }
    // A value that is not text ends the chain of what can be believed, as any other garbage does.
    let values = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("?"));
    let values: Vec<&str> = values.collect();
    crate::ip::client_ip(peer, trusted, values.into_iter())
}

/// Only a process on this machine that speaks for itself: a local proxy forwards for strangers.
pub fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "via"].iter().any(|name| headers.contains_key(*name));
    crate::ip::canonical(peer).is_loopback() && !forwarded
}

pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let cases = [
            ("/c/lnk_04hmasw9", Target::Click("lnk_04hmasw9")),
            ("/c/", Target::Click("")),
            ("/c/a/b", Target::Nothing),
            ("/c//evil.example", Target::Nothing),
            ("//evil.example/c/x", Target::Nothing),
            ("/p/adv_1.gif", Target::Pixel("adv_1")),
            ("/p/adv_1", Target::Nothing),
            ("/p/.gif", Target::Pixel("")),
            ("/postback/adv_1", Target::Postback("adv_1")),
            ("/postback/adv_1/", Target::Nothing),
            ("/metrics", Target::Metrics),
            ("/metrics/", Target::Nothing),
            ("/livez", Target::Live),
            ("/readyz", Target::Ready),
            ("*", Target::Nothing),
            ("", Target::Nothing),
        ];
        for (path, target) in cases {
            assert_eq!(Target::of(path), target, "{path}");
        }
    }

    #[test]
    fn prefetches() {
        let cases = [
            ("sec-purpose", "prefetch;prerender", true),
            ("Sec-Purpose", "Prefetch", true),
            ("purpose", "prefetch", true),
            ("x-moz", "prefetch", true),
            ("purpose", "", false),
            ("x-purpose", "prefetch", false),
        ];
        for (name, value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            assert_eq!(is_prefetch(&headers), expected, "{name}: {value}");
        }
        assert!(!is_prefetch(&HeaderMap::new()));
    }

    #[test]
    fn forms() {
        let cases = [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", true),
            ("application/json", false),
            ("", false),
        ];
        for (kind, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(is_form(&headers), expected, "{kind}");
        }
    }

    #[test]
    fn the_pages_for_operators_are_local() {
        let mut headers = HeaderMap::new();
        assert!(is_local("127.0.0.1".parse().unwrap(), &headers));
        assert!(is_local("::ffff:127.0.0.1".parse().unwrap(), &headers));
        assert!(is_local("::1".parse().unwrap(), &headers));
        assert!(!is_local("10.0.0.1".parse().unwrap(), &headers));
        headers.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        assert!(!is_local("127.0.0.1".parse().unwrap(), &headers), "a local proxy stands in front");
    }
}
