//! What a request is, before anything is looked up.

use crate::metrics::Route;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, Method, Version, request};
use proto_model::is_slug;
use std::net::IpAddr;

/// The addresses an edge answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'r> {
    Click(&'r str),
    Pixel(&'r str),
    /// A pixel as a page of its own, for an iframe.
    Frame(&'r str),
    Impression(&'r str),
    Postback(&'r str),
    /// What [`Target::Script`] sends.
    Beacon,
    Script,
    Live,
    Ready,
    /// A link's name on a host of a tenant; empty = the host itself.
    Named(&'r str),
    Nothing,
}

impl<'r> Target<'r> {
    pub fn of(path: &'r str) -> Self {
        let one_segment = |rest: &'r str| Some(rest).filter(|rest| !rest.contains('/'));
        if let Some(id) = path.strip_prefix("/c/").and_then(one_segment) {
            return Self::Click(id);
        }
        if let Some(file) = path.strip_prefix("/p/").and_then(one_segment) {
            let frame = || file.strip_suffix(".html").map_or(Self::Nothing, Self::Frame);
            return file.strip_suffix(".gif").map_or_else(frame, Self::Pixel);
        }
        if let Some(file) = path.strip_prefix("/i/").and_then(one_segment) {
            return file.strip_suffix(".gif").map_or(Self::Nothing, Self::Impression);
        }
        if let Some(id) = path.strip_prefix("/postback/").and_then(one_segment) {
            return Self::Postback(id);
        }
        match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/t.js" => Self::Script,
            "/e" => Self::Beacon,
            "/" => Self::Named(""),
            _ => path.strip_prefix('/').filter(|slug| is_slug(slug)).map_or(Self::Nothing, Self::Named),
        }
    }

    pub fn route(self) -> Route {
        match self {
            Self::Click(_) | Self::Named(_) => Route::Click,
            Self::Pixel(_) | Self::Frame(_) => Route::Pixel,
            Self::Impression(_) => Route::Impression,
            Self::Postback(_) => Route::Postback,
            Self::Beacon => Route::Beacon,
            Self::Script | Self::Live | Self::Ready | Self::Nothing => Route::Other,
        }
    }

    /// The value of `Allow`.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Postback(_) => "GET, POST",
            Self::Beacon => "POST, OPTIONS",
            _ => "GET, HEAD",
        }
    }

    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Postback(_) => method == Method::GET || method == Method::POST,
            Self::Beacon => method == Method::POST || method == Method::OPTIONS,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// HTTP/1.1 wants exactly one Host, HTTP/2 and 3 an authority that no Host contradicts. Two of them mean
/// that somebody along the way saw another request.
pub fn names_one_host(parts: &request::Parts) -> bool {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let authority = match parts.version {
        Version::HTTP_2 | Version::HTTP_3 => parts.uri.authority(),
        _ => None,
    };
    match (authority, first, second) {
        (_, _, Some(_)) => false,
        (Some(authority), Some(host), None) => {
            authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
        }
        (None, None, None) => parts.version == Version::HTTP_10,
        (None, Some(_), None) | (Some(_), None, None) => true,
    }
}

/// A browser fetching ahead: nobody has clicked.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    const NAMES: [HeaderName; 3] = [
        HeaderName::from_static("sec-purpose"),
        HeaderName::from_static("purpose"),
        HeaderName::from_static("x-moz"),
    ];
    NAMES.iter().any(|name| {
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
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    // A value that is not text ends the chain of what can be believed, as any other garbage does.
    let values = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or("?"));
    crate::ip::client_ip(peer, trusted, values)
}

/// A process on this machine or a balancer in front that speaks for itself: a proxy forwards for strangers.
pub fn may_ask_for_health(peer: IpAddr, trusted: &[ipnet::IpNet], headers: &HeaderMap) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "via"].iter().any(|name| headers.contains_key(*name));
    let peer = crate::ip::canonical(peer);
    (peer.is_loopback() || crate::ip::is_trusted(peer, trusted)) && !forwarded
}

pub fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers).eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// JSON under its own name, or as the plain text that browsers send without asking first.
pub fn is_message(headers: &HeaderMap) -> bool {
    ["text/plain", "application/json"].iter().any(|kind| content_type(headers).eq_ignore_ascii_case(kind))
}

fn content_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
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
            ("/p/adv_1.html", Target::Frame("adv_1")),
            ("/i/lnk_1.gif", Target::Impression("lnk_1")),
            ("/i/lnk_1", Target::Nothing),
            ("/t.js", Target::Script),
            ("/e", Target::Beacon),
            ("/e/", Target::Nothing),
            ("/p/.gif", Target::Pixel("")),
            ("/postback/adv_1", Target::Postback("adv_1")),
            ("/postback/adv_1/", Target::Nothing),
            ("/metrics", Target::Nothing),
            ("/robots", Target::Named("robots")),
            ("/", Target::Named("")),
            ("/robots/", Target::Nothing),
            ("/Robots", Target::Nothing),
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
    fn health_is_for_this_machine_and_its_balancers() {
        let mut headers = HeaderMap::new();
        let may = |peer: &str, headers: &HeaderMap| {
            may_ask_for_health(peer.parse().unwrap(), &["10.0.0.0/8".parse().unwrap()], headers)
        };
        assert!(may("127.0.0.1", &headers));
        assert!(may("::ffff:127.0.0.1", &headers));
        assert!(may("::1", &headers));
        assert!(may("10.0.0.1", &headers));
        assert!(!may("192.0.2.1", &headers));
        headers.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        assert!(!may("127.0.0.1", &headers), "a local proxy stands in front");
        assert!(!may("10.0.0.1", &headers));
    }

    #[test]
    fn one_host() {
        let cases: &[(Version, &str, &[&str], bool)] = &[
            (Version::HTTP_11, "/", &["a"], true),
            (Version::HTTP_11, "/", &[], false),
            (Version::HTTP_11, "/", &["a", "a"], false),
            (Version::HTTP_10, "/", &[], true),
            (Version::HTTP_2, "https://a/", &[], true),
            (Version::HTTP_2, "https://a/", &["A"], true),
            (Version::HTTP_2, "https://a/", &["b"], false),
            (Version::HTTP_2, "https://a/", &["a", "a"], false),
            (Version::HTTP_2, "/", &["a"], true),
            (Version::HTTP_2, "/", &[], false),
            (Version::HTTP_3, "https://a:8443/", &["a"], false),
            (Version::HTTP_3, "https://a:8443/", &["a:8443"], true),
        ];
        for (version, uri, hosts, expected) in cases {
            let mut request = http::Request::builder().version(*version).uri(*uri);
            for host in *hosts {
                request = request.header(HOST, *host);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(names_one_host(&parts), *expected, "{version:?} {uri} {hosts:?}");
        }
    }
}
