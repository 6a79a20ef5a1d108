//! Landing pages.

use url::Url;

/// A landing page, split where the click id goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    before: String,
    after: String,
    text: Box<str>,
}

impl Destination {
    /// `None` unless `url` is an absolute http or https URL with a host and without credentials. A
    /// parameter of the same name that is in the URL already gives way.
    pub fn new(text: &str, parameter: &str) -> Option<Self> {
        let url = web_url(text)?;
        let parameter: String = form_urlencoded::byte_serialize(parameter.as_bytes()).collect();
        if parameter.is_empty() {
            return None;
        }
        let query = url.query().unwrap_or_default();
        let kept = query.split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && name != parameter
        });
        let after = url.fragment().map(|fragment| format!("#{fragment}")).unwrap_or_default();
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        let mut before = format!("{base}?");
        for pair in kept {
            before.push_str(pair);
            before.push('&');
        }
        before.push_str(&parameter);
        before.push('=');
        Some(Self { before, after, text: configured(text, &url) })
    }

    /// The URL with the click id in it: plain ASCII, fit for a `Location` header.
    pub fn with_click_id(&self, click_id: &str) -> String {
        [self.before.as_str(), click_id, self.after.as_str()].concat()
    }

    /// As it was configured. Macros may stand in it, in whatever spelling, but only behind the host: where the
    /// shopper goes is never up to a request. Plain ASCII without blanks.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Lower case; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        let authority = self.before.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    pub fn is_https(&self) -> bool {
        self.before.starts_with("https:")
    }

    /// The URL without an id, for those who only look.
    pub fn plain(&self) -> String {
        let end = self.before.rfind(['?', '&']).unwrap_or(self.before.len());
        [self.before.get(..end).unwrap_or_default(), self.after.as_str()].concat()
    }
}

/// What a browser may be sent to. The parser takes braces for letters of a host; we do not.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host = url.host_str().is_some_and(|host| host.starts_with('[') || host.bytes().all(letter));
    (matches!(url.scheme(), "http" | "https") && url.has_host() && host && plain).then_some(url)
}

/// The parser would encode the braces of a macro in a path. A text that it would have to mend for a `Location`
/// header is taken as it mends it.
fn configured(text: &str, url: &Url) -> Box<str> {
    let starts =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let clean = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'));
    if clean && (starts("https://") || starts("http://")) { text.into() } else { url.as_str().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_click_id_finds_its_place() {
        let cases = [
            ("https://shop.example/a", "https://shop.example/a?click_id=X"),
            ("https://shop.example", "https://shop.example/?click_id=X"),
            ("https://shop.example/a?b=1#top", "https://shop.example/a?b=1&click_id=X#top"),
            ("https://shop.example/?click_id=old&b=1", "https://shop.example/?b=1&click_id=X"),
            (
                "https://shop.example/中文?q=中",
                "https://shop.example/%E4%B8%AD%E6%96%87?q=%E4%B8%AD&click_id=X",
            ),
            ("http://127.0.0.1:80/x y", "http://127.0.0.1/x%20y?click_id=X"),
        ];
        for (url, expected) in cases {
            assert_eq!(Destination::new(url, "click_id").unwrap().with_click_id("X"), expected);
        }
        let odd = Destination::new("https://a.example/", "a&b").unwrap();
        assert_eq!(odd.with_click_id("X"), "https://a.example/?a%26b=X");
    }

    #[test]
    fn only_web_pages_are_destinations() {
        for url in [
            "",
            "/a",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "https://{sub1}/",
            "https://{sub1}.a.example/",
            "https://a.example{sub1}/",
            "https://a.example:{sub1}/",
            "https://{sub1}@a.example/",
            "https://[[sub1]]/",
            "https://#sub1#/",
            "https://!!!sub1!!!.example/",
            "https://${SUB1}.example/",
            "{sub1}://a.example/",
            "{sub1}",
        ] {
            assert_eq!(Destination::new(url, "click_id"), None, "{url}");
        }
        assert_eq!(Destination::new("https://a.example/", ""), None);
        let injected = Destination::new("https://a.example/\r\nSet-Cookie: a", "click_id").unwrap();
        assert!(!injected.with_click_id("X").contains(['\r', '\n']));
    }

    #[test]
    fn macros_stay_behind_the_host() {
        let cases = [
            ("https://a.example/{sub1}/x?c={click_id}#!!!sub2!!!", None, "a.example"),
            ("https://a.example/?a=[[c1]]&b=${X}&c=#s1#", None, "a.example"),
            ("http://A.example:8080?x={_sub1}", None, "a.example"),
            ("https://[2001:db8::1]:8443/{x}", None, "[2001:db8::1]"),
            ("https://a.example/a b{x}", Some("https://a.example/a%20b%7Bx%7D"), "a.example"),
            ("https:a.example/{x}", Some("https://a.example/%7Bx%7D"), "a.example"),
            ("https://a.example\\@b.example/", Some("https://a.example/@b.example/"), "a.example"),
        ];
        for (text, mended, host) in cases {
            let destination = Destination::new(text, "click_id").unwrap();
            assert_eq!((destination.text(), destination.host()), (mended.unwrap_or(text), host));
        }
    }
}
