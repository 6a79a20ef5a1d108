//! A landing page with places for what is known of a click: `https://shop.example/?ref={partner_id}`.
//!
//! A template is read once, when a snapshot is built. Macros may stand in path, query and fragment, never in the
//! scheme or the host: where a shopper lands is the tenant's word alone. Values are percent-encoded, or, spelt
//! `{_name}`, kept readable without ever leaving their place in the URL; a value that looks like a macro is text.

use super::macros::{self, Macro, Values};
use url::Url;

/// What a browser still follows without trouble.
pub const MAX_URL: usize = 8 * 1024;
/// More than any landing page needs, few enough to fill in for each click.
const MAX_SLOTS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("not an absolute http or https URL with a host and without a password")]
    NotAPage,
    #[error("a macro stands in the scheme or the host: only path, query and fragment may have some")]
    MacroInHost,
    #[error("more than {MAX_SLOTS} macros")]
    TooManyMacros,
    #[error("longer than {MAX_URL} bytes")]
    TooLong,
    #[error("the parameter for the click id is empty")]
    NoParameter,
}

/// The filled-in URL would be longer than [`MAX_URL`]; the caller sends the shopper to a shorter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Literal text, each piece but the last followed by a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    slots: Vec<Slot>,
    last: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    before: String,
    name: Macro,
    raw: bool,
    /// How much of the end of `before` names a parameter that is left out when there is no value: that of the click id
    /// which no macro asked for.
    parameter: usize,
}

impl Template {
    /// Reads `url`. Where no macro asks for the click id, the query parameter `click_id_parameter` carries it; one
    /// of that name that is there already gives way.
    pub fn parse(url: &str, click_id_parameter: &str) -> Result<Self, TemplateError> {
        if url.len() > MAX_URL {
            return Err(TemplateError::TooLong);
        }
        Self::of(Marked::read(url)?, click_id_parameter)
    }

    /// As [`Template::parse`] for a page that a request asks for: what looks like a macro in it is text.
    pub fn verbatim(url: &str, click_id_parameter: &str) -> Result<Self, TemplateError> {
        if url.len() > MAX_URL {
            return Err(TemplateError::TooLong);
        }
        Self::of(Marked { text: url.to_owned(), key: key_for(url), found: Vec::new() }, click_id_parameter)
    }

    fn of(marked: Marked, click_id_parameter: &str) -> Result<Self, TemplateError> {
        let mut page = page(&marked.text)?;
        let in_host = page.host_str().is_some_and(|host| marked.is_in(host));
        if in_host || marked.is_in(page.scheme()) {
            return Err(TemplateError::MacroInHost);
        }
        let mut found = marked.found;
        let mut added = None;
        if !found.iter().any(|(name, _)| *name == Some(Macro::ClickId)) {
            let parameter: String = form_urlencoded::byte_serialize(click_id_parameter.as_bytes()).collect();
            if parameter.is_empty() {
                return Err(TemplateError::NoParameter);
            }
            let mark = mark(&marked.key, found.len());
            add_parameter(&mut page, click_id_parameter, &parameter, &mark);
            added = Some((found.len(), parameter.len() + 2));
            found.push((Some(Macro::ClickId), false));
        }
        Self::split(page.as_str(), &marked.key, &found, added)
    }

    /// Cuts the serialized URL at its marks. A mark whose parameter gave way is gone.
    fn split(
        text: &str,
        key: &str,
        found: &[(Option<Macro>, bool)],
        added: Option<(usize, usize)>,
    ) -> Result<Self, TemplateError> {
        let mut slots = Vec::new();
        let mut pieces = text.split(key);
        let mut before = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            // What follows the key is its number and an end: see `mark`.
            let (number, rest) = piece.split_once('z').ok_or(TemplateError::NotAPage)?;
            let number: usize = number.parse().map_err(|_| TemplateError::NotAPage)?;
            let &(name, raw) = found.get(number).ok_or(TemplateError::NotAPage)?;
            match name {
                Some(name) => {
                    let parameter = added.filter(|(at, _)| *at == number).map_or(0, |(_, len)| len);
                    let before = std::mem::replace(&mut before, rest.to_owned());
                    slots.push(Slot { before, name, raw, parameter });
                }
                // What nobody knows is stripped: a landing page is not to see `{payout}`.
                None => before.push_str(rest),
            }
        }
        if slots.len() > MAX_SLOTS {
            return Err(TemplateError::TooManyMacros);
        }
        Ok(Self { slots, last: before })
    }

    /// The URL with its values, appended to `out`: plain ASCII, fit for a `Location` header.
    pub fn fill(&self, values: &Values<'_>, out: &mut String) -> Result<(), TooLong> {
        let start = out.len();
        for Slot { before, name, raw, parameter } in &self.slots {
            let nobody_counts = *name == Macro::ClickId && values.click_id.is_empty();
            let end = before.len().saturating_sub(if nobody_counts { *parameter } else { 0 });
            out.push_str(before.get(..end).unwrap_or(before));
            values.write(*name, *raw, out);
            if out.len() - start > MAX_URL {
                return Err(TooLong);
            }
        }
        out.push_str(&self.last);
        if out.len() - start > MAX_URL { Err(TooLong) } else { Ok(()) }
    }

    /// Scheme and host: the same whatever the values are.
    pub fn origin(&self) -> &str {
        let first = self.slots.first().map_or(self.last.as_str(), |slot| slot.before.as_str());
        let host_at = first.find("://").map_or(0, |at| at + 3);
        let end = first.get(host_at..).and_then(|rest| rest.find(['/', '?', '#']));
        end.and_then(|end| first.get(..host_at + end)).unwrap_or(first)
    }
}

/// What a browser may be sent to. The parser takes braces and their like for letters of a host; we do not.
pub fn page(text: &str) -> Result<Url, TemplateError> {
    // The parser drops some of them, and what is left is not what was looked at.
    if text.chars().any(char::is_control) {
        return Err(TemplateError::NotAPage);
    }
    let url = Url::parse(text).map_err(|_| TemplateError::NotAPage)?;
    let plain = url.username().is_empty() && url.password().is_none();
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host = url.host_str().is_some_and(|host| host.starts_with('[') || host.bytes().all(letter));
    let web = matches!(url.scheme(), "http" | "https") && host && plain;
    if web { Ok(url) } else { Err(TemplateError::NotAPage) }
}

/// A URL text in which every macro is a mark that URL parsing leaves alone wherever it may stand.
struct Marked {
    text: String,
    /// Does not occur in the original text.
    key: String,
    found: Vec<(Option<Macro>, bool)>,
}

impl Marked {
    fn read(url: &str) -> Result<Self, TemplateError> {
        let mut marked =
            Self { text: String::with_capacity(url.len()), key: key_for(url), found: Vec::new() };
        let mut rest = url;
        while let Some(next) = macros::find(rest) {
            marked.text.push_str(rest.get(..next.start).unwrap_or_default());
            marked.text.push_str(&mark(&marked.key, marked.found.len()));
            marked.found.push((next.name, next.raw));
            rest = rest.get(next.end..).unwrap_or_default();
        }
        marked.text.push_str(rest);
        if marked.found.len() > MAX_SLOTS { Err(TemplateError::TooManyMacros) } else { Ok(marked) }
    }

    fn is_in(&self, part: &str) -> bool {
        part.contains(self.key.as_str())
    }
}

/// What occurs neither in `url` nor in what the parser makes of it: it lowers cases and maps letters of other scripts.
fn key_for(url: &str) -> String {
    let parsed = Url::parse(url).map(String::from).unwrap_or_default().to_ascii_lowercase();
    let is_new = |key: &String| !url.contains(key.as_str()) && !parsed.contains(key.as_str());
    (0u32..).map(|n| format!("q{n}q")).find(is_new).unwrap_or_default()
}

/// Lower-case letters and digits: the same in a host, a path and a query.
fn mark(key: &str, number: usize) -> String {
    format!("{key}{number}z")
}

/// `name` however it is spelt in the query gives way to `parameter`, its own spelling.
fn add_parameter(page: &mut Url, name: &str, parameter: &str, value: &str) {
    let query = page.query().unwrap_or_default().to_owned();
    let kept = query.split('&').filter(|pair| {
        let is_it = form_urlencoded::parse(pair.as_bytes()).any(|(spelt, _)| spelt == name);
        !pair.is_empty() && !is_it
    });
    let mut query = String::with_capacity(query.len() + parameter.len() + value.len() + 2);
    for pair in kept {
        query.push_str(pair);
        query.push('&');
    }
    query.push_str(parameter);
    query.push('=');
    query.push_str(value);
    page.set_query(Some(&query));
}

#[cfg(test)]
mod tests;
