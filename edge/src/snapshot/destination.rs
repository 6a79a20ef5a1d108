//! Landing pages.

use crate::decide::macros::Values;
use crate::decide::template::{Template, TooLong, page};

/// A landing page with its places for values, and what is asked of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    template: Template,
    text: Box<str>,
    host: Box<str>,
    https: bool,
}

impl Destination {
    /// `None` unless `text` is an absolute http or https URL with a host and without credentials. Macros may stand
    /// in it, in whatever spelling, but only behind the host: where the shopper goes is never up to a request.
    pub fn new(text: &str, parameter: &str) -> Option<Self> {
        Self::of(Template::parse(text, parameter).ok()?, text)
    }

    /// A page that a request asks for: nothing in it is a macro.
    pub fn asked_for(text: &str, parameter: &str) -> Option<Self> {
        Self::of(Template::verbatim(text, parameter).ok()?, text)
    }

    fn of(template: Template, text: &str) -> Option<Self> {
        let origin = page(template.origin()).ok()?;
        let host = origin.host_str()?.into();
        Some(Self { https: origin.scheme() == "https", template, text: text.into(), host })
    }

    /// Appends the URL with its values: plain ASCII, fit for a `Location` header.
    pub fn fill(&self, values: &Values<'_>, out: &mut String) -> Result<(), TooLong> {
        self.template.fill(values, out)
    }

    #[cfg(test)]
    pub fn with_click_id(&self, click_id: &str) -> String {
        let mut out = String::new();
        self.fill(&crate::decide::macros::testing::values(click_id, &[]), &mut out).unwrap();
        out
    }

    pub fn origin(&self) -> &str {
        self.template.origin()
    }

    /// As it was configured.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Lower case; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn is_https(&self) -> bool {
        self.https
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_stay_behind_the_host() {
        let cases = [
            ("https://a.example/{sub1}/x?c={click_id}#!!!sub2!!!", "a.example"),
            ("https://a.example/?a=[[c1]]&b=${X}&c=#s1#", "a.example"),
            ("http://A.example:8080?x={_sub1}", "a.example"),
            ("https://[2001:db8::1]:8443/{x}", "[2001:db8::1]"),
            ("https:a.example/{x}", "a.example"),
            ("https://a.example\\@b.example/", "a.example"),
        ];
        for (text, host) in cases {
            let destination = Destination::new(text, "click_id").unwrap();
            assert_eq!((destination.text(), destination.host()), (text, host));
            assert_eq!(destination.is_https(), text.starts_with("https"));
        }
        for text in
            ["https://{sub1}/", "https://a.example{sub1}/", "{sub1}://a.example/", "/a", "ftp://a.example/"]
        {
            assert_eq!(Destination::new(text, "click_id"), None, "{text}");
        }
    }
}
