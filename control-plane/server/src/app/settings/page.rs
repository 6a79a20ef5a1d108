//! Pages that browsers are sent to, and the hosts they are on.

use crate::app::rules_json::{BodyError, refuse};
use proto_model::check_host;
use url::Url;

const MAX_URL: usize = 2_000;

/// An absolute http(s) URL with a host and no credentials. Macros may stand in its path, query and fragment, in
/// which case it is kept as it was written: a parser would encode their braces.
pub fn checked_page(at: &str, text: &str) -> Result<String, BodyError> {
    if text.len() > MAX_URL {
        return Err(refuse(at, "use at most 2000 characters"));
    }
    let url =
        Url::parse(text).map_err(|_| refuse(at, "use an absolute URL such as https://shop.example/"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(at, "use a URL that starts with https:// (or http://)"));
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(refuse(at, "the URL needs a host"));
    }
    // The parser takes braces for letters of a host.
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !host.starts_with('[') && !host.bytes().all(letter) {
        return Err(refuse(at, "macros may stand in the path, the query and the fragment, not in the host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(at, "the URL must not carry a user name or password"));
    }
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'));
    let as_written = plain && (text.starts_with("https://") || text.starts_with("http://"));
    Ok(if as_written && has_macro(text) { text.to_owned() } else { url.to_string() })
}

/// Signs of a macro, in any of the spellings `{x}`, `${X}`, `[[x]]`, `#x#`, `!!!x!!!`.
fn has_macro(text: &str) -> bool {
    let twice = |sign: &str| text.matches(sign).count() >= 2;
    text.contains('{') || text.contains("[[") || twice("#") || twice("!!!")
}

/// Lower case; `None` when it is no URL.
pub fn host_of(page: &str) -> Option<String> {
    Url::parse(page).ok()?.host_str().map(str::to_owned)
}

/// A host of the public DNS.
pub fn checked_host(at: &str, text: &str) -> Result<(), BodyError> {
    check_host(text).map_err(|error| refuse(at, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_kept_as_they_are_meant() {
        let cases = [
            ("https://shop.example", "https://shop.example/"),
            ("https://shop.example/a b", "https://shop.example/a%20b"),
            ("https://shop.example/{sub1}?x={click_id}#top", "https://shop.example/{sub1}?x={click_id}#top"),
            ("https://shop.example/?a=[[c1]]", "https://shop.example/?a=[[c1]]"),
            ("https://shop.example?a=#s1#", "https://shop.example?a=#s1#"),
            ("https://shop.example/?a=!!!x!!!", "https://shop.example/?a=!!!x!!!"),
            ("https://shop.example/#top", "https://shop.example/#top"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ];
        for (text, kept) in cases {
            assert_eq!(checked_page("/destination", text).unwrap(), kept);
        }
        for bad in [
            "https://{x}/",
            "https://{x}.shop.example/",
            "https://${X}/",
            "https://[[x]]/",
            "ftp://a.example/",
            "shop.example",
            "https://u@shop.example/",
            "https://a.example:{port}/",
        ] {
            assert!(checked_page("/destination", bad).is_err(), "{bad}");
        }
    }
}
