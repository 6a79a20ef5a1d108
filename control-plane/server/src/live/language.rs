//! English and Simplified Chinese, from one catalogue of messages per language.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use http::{HeaderMap, header};
use std::sync::LazyLock;
use unic_langid::LanguageIdentifier;

const ENGLISH: &str = include_str!("../../locales/en.ftl");
const CHINESE: &str = include_str!("../../locales/zh-CN.ftl");

type Bundle = FluentBundle<FluentResource>;

static BUNDLES: LazyLock<[Bundle; 2]> = LazyLock::new(|| [bundle("en", ENGLISH), bundle("zh-CN", CHINESE)]);

fn bundle(code: &str, text: &str) -> Bundle {
    let language: LanguageIdentifier = code.parse().unwrap_or_default();
    let mut bundle = Bundle::new_concurrent(vec![language]);
    // Isolation marks are for mixed writing directions; both languages run left to right.
    bundle.set_use_isolating(false);
    // A message that cannot be read is left out; a test finds it.
    let resource = FluentResource::try_new(text.to_owned()).unwrap_or_else(|(resource, _)| resource);
    let _ = bundle.add_resource(resource);
    bundle
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    English,
    Chinese,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// What its speakers call it.
    pub fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "简体中文",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let primary = text.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("zh") {
            Some(Self::Chinese)
        } else if primary.eq_ignore_ascii_case("en") {
            Some(Self::English)
        } else {
            None
        }
    }

    /// The supported language with the highest weight, the first one on a tie.
    fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        for part in header.split(',').take(20) {
            let (tag, parameter) = part.split_once(';').unwrap_or((part, ""));
            let weight = match parameter.trim().strip_prefix("q=") {
                Some(weight) => weight.parse().unwrap_or(0.0),
                None => 1.0,
            };
            let Some(language) = Self::parse(tag.trim()) else { continue };
            if weight > best.map_or(0.0, |(_, weight)| weight) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }
}

/// The messages of one language.
#[derive(Clone, Copy)]
pub struct Words(pub Language);

impl Words {
    /// What the address asks for, else what the browser prefers, else English.
    pub fn choose(asked: Option<&str>, headers: &HeaderMap) -> Self {
        let accepted = || headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok().and_then(Language::accepted);
        Self(asked.and_then(Language::parse).or_else(accepted).unwrap_or(Language::English))
    }

    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    pub fn t(&self, key: &str) -> String {
        self.with(key, &FluentArgs::new())
    }

    /// `{prefix}-{code}`, or the code itself when there is no such message.
    pub fn coded(&self, prefix: &str, code: &str) -> String {
        let key = format!("{prefix}-{code}");
        let text = self.t(&key);
        if text == key { code.to_owned() } else { text }
    }

    pub fn with(&self, key: &str, args: &FluentArgs<'_>) -> String {
        let bundle = match self.0 {
            Language::English => &BUNDLES[0],
            Language::Chinese => &BUNDLES[1],
        };
        let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
            return key.to_owned();
        };
        let mut errors = Vec::new();
        bundle.format_pattern(pattern, Some(args), &mut errors).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_plane_domain::reason;
    use proto_model::event::Authority;
    use proto_model::{DeviceClass, VerdictKind};
    use std::collections::BTreeSet;

    fn keys(text: &str) -> BTreeSet<String> {
        assert!(FluentResource::try_new(text.to_owned()).is_ok(), "the catalogue has no syntax error");
        let starts_key = |line: &&str| line.starts_with(|first: char| first.is_ascii_alphabetic());
        text.lines()
            .filter(starts_key)
            .filter_map(|line| line.split_once(" ="))
            .map(|(k, _)| k.to_owned())
            .collect()
    }

    #[test]
    fn both_catalogues_have_the_same_keys() {
        assert_eq!(keys(ENGLISH), keys(CHINESE));
    }

    #[test]
    fn every_code_has_words() {
        let known = keys(ENGLISH);
        let mut codes: Vec<String> = reason::ALL.iter().map(|code| format!("reason-{code}")).collect();
        codes.extend(DeviceClass::ALL.iter().map(|code| format!("device-{}", code.as_str())));
        codes.extend(VerdictKind::ALL.iter().map(|code| format!("verdict-{}", code.as_str())));
        codes.extend(Authority::ALL.iter().map(|code| format!("authority-{}", code.as_str())));
        let missing: Vec<_> = codes.iter().filter(|key| !known.contains(*key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_key_used_in_a_template_exists() {
        let known = keys(ENGLISH);
        let templates =
            [include_str!("../../templates/live.html"), include_str!("../../templates/login.html")];
        for template in templates {
            for part in template.split("w.t(\"").skip(1) {
                let key = part.split('"').next().unwrap();
                assert!(known.contains(key), "{key}");
            }
        }
    }

    #[test]
    fn the_browser_s_preference_is_heard() {
        let cases = [
            (None, "zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            (None, "en-GB, zh;q=0.5", Language::English),
            (None, "fr, de;q=0.9, zh-Hant;q=0.1", Language::Chinese),
            (None, "fr", Language::English),
            (None, "zh;q=0, en;q=0.1", Language::English),
            (None, ";;;q=,,,", Language::English),
            (Some("en"), "zh-CN", Language::English),
            (Some("zh-CN"), "en", Language::Chinese),
            (Some("xx"), "zh", Language::Chinese),
        ];
        for (asked, header, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, header.parse().unwrap());
            assert_eq!(Words::choose(asked, &headers).0, expected, "{asked:?} {header}");
        }
    }
}
