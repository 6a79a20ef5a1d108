//! Device, system and browser from a user agent, remembered: parsing one costs microseconds.

use crate::decide::preview::is_preview;
use proto_model::DeviceClass;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use woothee::parser::Parser;
use woothee::woothee::VALUE_UNKNOWN;

/// What a user agent stands for. Unknown texts are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub device: DeviceClass,
    pub os: Box<str>,
    pub browser: Box<str>,
    /// It looks at links to show them in a chat or a timeline.
    pub previews: bool,
}

impl Agent {
    fn parse(user_agent: &str) -> Self {
        let previews = is_preview(user_agent);
        let unknown = Self { device: DeviceClass::Unknown, os: "".into(), browser: "".into(), previews };
        let Some(found) = Parser::new().parse(user_agent) else { return unknown };
        let known = |text: &str| if text == VALUE_UNKNOWN { "".into() } else { text.into() };
        let device = device(found.category, user_agent);
        Self { device, os: known(found.os), browser: known(found.name), previews }
    }
}

fn device(category: &str, user_agent: &str) -> DeviceClass {
    match category {
        "smartphone" if is_tablet(user_agent) => DeviceClass::Tablet,
        "smartphone" | "mobilephone" => DeviceClass::Mobile,
        "pc" => DeviceClass::Desktop,
        "crawler" => DeviceClass::Crawler,
        "appliance" => DeviceClass::Appliance,
        "misc" => DeviceClass::Other,
        _ => DeviceClass::Unknown,
    }
}

/// Android says "Mobile" on phones only; the others say what they are.
fn is_tablet(user_agent: &str) -> bool {
    let has = |word: &str| user_agent.contains(word);
    has("iPad") || has("Tablet") || (has("Android") && !has("Mobile"))
}

type Slot = Option<(u64, Rc<Agent>)>;

/// Direct-mapped, of fixed size, one for each worker: a flood of new user agents costs parsing, never
/// memory. A slot knows its user agent by a 64-bit hash under a secret seed.
pub struct AgentCache {
    slots: Box<[Slot]>,
    seed: RandomState,
}

impl AgentCache {
    pub fn new(slots: usize) -> Self {
        let slots = std::iter::repeat_with(|| None).take(slots.next_power_of_two()).collect();
        Self { slots, seed: RandomState::new() }
    }

    pub fn get(&mut self, user_agent: &str) -> Rc<Agent> {
        let hash = self.seed.hash_one(user_agent);
        // The remainder of a power of two: always in range.
        let index = hash as usize & (self.slots.len() - 1);
        match &mut self.slots[index] {
            Some((known, agent)) if *known == hash => Rc::clone(agent),
            slot => {
                let agent = Rc::new(Agent::parse(user_agent));
                *slot = Some((hash, Rc::clone(&agent)));
                agent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/126.0.0.0 Safari/537.36";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
        (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
        Version/16.6 Mobile/15E148 Safari/604.1";
    const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/126.0.0.0 Mobile Safari/537.36";
    const ANDROID_TABLET: &str = "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like \
        Gecko) Chrome/126.0.0.0 Safari/537.36";
    const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    const PLAYSTATION: &str = "Mozilla/5.0 (PlayStation 4 5.05) AppleWebKit/601.2 (KHTML, like Gecko)";

    #[test]
    fn classes_of_devices() {
        let cases = [
            (CHROME, DeviceClass::Desktop, "Windows 10", "Chrome"),
            (IPHONE, DeviceClass::Mobile, "iPhone", "Safari"),
            (IPAD, DeviceClass::Tablet, "iPad", "Safari"),
            (ANDROID, DeviceClass::Mobile, "Android", "Chrome"),
            (ANDROID_TABLET, DeviceClass::Tablet, "Android", "Chrome"),
            (GOOGLEBOT, DeviceClass::Crawler, "", "Googlebot"),
            (PLAYSTATION, DeviceClass::Appliance, "PlayStation 4", "PlayStation 4"),
            ("", DeviceClass::Unknown, "", ""),
            ("-", DeviceClass::Unknown, "", ""),
            ("no such thing", DeviceClass::Unknown, "", ""),
        ];
        let mut cache = AgentCache::new(16);
        for round in 0..2 {
            for (user_agent, device, os, browser) in cases {
                let agent = cache.get(user_agent);
                let found = (agent.device, &*agent.os, &*agent.browser);
                assert_eq!(found, (device, os, browser), "{user_agent} in round {round}");
            }
        }
    }

    proptest! {
        // woothee is written with unwraps; pieces of its patterns in any order must not meet one.
        #[test]
        fn pieces_of_user_agents_parse(pieces in prop::collection::vec(prop::sample::select(vec![
            "Mozilla/5.0 ", "(", ")", ";", " ", "MSIE ", "Trident/", " rv:", "IEMobile/", "Windows ", "Windows Phone",
            "NT 10.0", "Android", "iPhone", "iPad;", "Mac OS X 10_", "CPU OS 9_1 like Mac OS X", "DoCoMo/", ";FOMA;",
            "KDDI-", "SoftBank/", "WILLCOM;", "PSP (PlayStation Portable); ", "PlayStation Vita", "Nintendo", "Opera/",
            "OPR/", "Version/", "Firefox/", "Chrome/", "Safari/", "jig browser web; ", "Googlebot", "Xbox", "CrOS ", "BB10",
            "BlackBerry", "FreeBSD ", "Win 9x 4.90", "Linux", "1.0", "9", "PPC", "Sleipnir/", "Vivaldi/", "é", "\u{0}",
        ]), 0..12)) {
            let _ = Agent::parse(&pieces.concat());
        }

        #[test]
        fn any_user_agent_parses(user_agent in ".{0,200}") {
            let _ = Agent::parse(&user_agent);
        }

        #[test]
        fn the_cache_answers_as_the_parser_does(agents in prop::collection::vec("(Mozilla|Opera|curl)/[0-9]", 1..50)) {
            let mut cache = AgentCache::new(4);
            for user_agent in agents {
                prop_assert_eq!(&*cache.get(&user_agent), &Agent::parse(&user_agent));
            }
            prop_assert_eq!(cache.slots.len(), 4);
        }
    }
}
