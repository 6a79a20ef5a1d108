//! Scenarios as text. One command a line; `#` starts a comment; `show` is followed by the lines it must
//! print, each behind `> `. Times are minutes, money is a decimal and a currency (`10.00USD`).
//!
//! ```text
//! case the name of the case
//! at 10                                   the intake's clock, from here on
//! terms OFFER vN [from=0] [window=60] [hold=delivered,30d|30d|delivered|none] [trust] [model=last|first|linear|ends:40:40|
//!     halves:MINUTES|weights:P:W:P:W] [program=1] goal=10%|5.00USD ...
//! click NAME OFFER PARTNER at=5 [test] [block] [flag] [foreign]
//! touch CUSTOMER CLICK [page]             a server vouches for it, or only a page
//! pixel|token|signed ORDER [goal=sale] [event=E] [amount=] [click=] [customer=] [coupon=] [at=]
//! order ORDER KIND [amount=] [id=] [at=]
//! hold ORDER
//! close [through=]
//! show ORDER | candidates ORDER | postings | balances | statements | notices
//! ```

use crate::world::{World, advertiser, settlement};
use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, CustomerRef, Input, OrderEvent, OrderEventKind, Source,
    Touch, Vouched,
};
use control_plane_domain::terms::{GoalPlan, Hold, Model, OfferTerms, Plan};
use proto_model::event::Authority;
use proto_model::{
    Address, Amount, ClickFacts, ClickFlags, Country, Currency, DeviceClass, LinkId, OfferId, PartnerId,
    ProgramId, Rate, StreamNo, TenantId, UnixMicros, VerdictKind,
};
use std::collections::BTreeMap;

pub struct Scenario {
    pub world: World,
    clicks: BTreeMap<String, ClickCredit>,
    events: u32,
}

/// The words of a command: what stands at its place, `key=value` pairs, and the rest as flags.
pub struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub fn of(line: &'a str) -> Self {
        Self(line.split_whitespace().collect())
    }

    pub fn at(&self, index: usize) -> &'a str {
        self.0.get(index).copied().unwrap_or_else(|| panic!("too few words: {:?}", self.0))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|word| word.split_once('='))
    }

    fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }
}

fn number(text: &str) -> u64 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {text:?}"))
}

fn minutes(text: &str) -> UnixMicros {
    UnixMicros::from_secs(i64::try_from(number(text)).unwrap() * 60)
}

/// `10.00USD`; a leading minus is allowed here, to show what becomes of it.
pub fn money(text: &str) -> Amount {
    let (decimal, code) = text.split_at(text.len() - 3);
    let currency = Currency::parse_stored(code).unwrap();
    let amount = Amount::parse_decimal(decimal.trim_start_matches('-'), currency).unwrap();
    Amount::new(if decimal.starts_with('-') { -amount.minor } else { amount.minor }, currency)
}

fn plan(text: &str) -> Plan {
    match text.strip_suffix('%') {
        Some(percent) => Plan::Percentage(Rate(u32::try_from(number(percent)).unwrap() * 10_000)),
        None => Plan::Flat(money(text)),
    }
}

fn hold(text: &str) -> Hold {
    let mut hold = Hold { until_delivered: false, days: None };
    for part in text.split(',') {
        match part {
            "delivered" => hold.until_delivered = true,
            "none" => {}
            days => hold.days = Some(u32::try_from(number(days)).unwrap()),
        }
    }
    hold
}

fn model(text: &str) -> Model {
    let words: Vec<&str> = text.split(':').collect();
    let percent = |text: &str| u32::try_from(number(text)).unwrap() * 10_000;
    match words[..] {
        ["last"] => Model::Last,
        ["first"] => Model::First,
        ["linear"] => Model::Linear,
        ["ends", first, last] => Model::Position { first: percent(first), last: percent(last) },
        ["halves", after] => Model::Decay { half_life_secs: u32::try_from(minutes(after).secs()).unwrap() },
        ["weights", ref weights @ ..] => Model::Weights(
            weights
                .chunks(2)
                .map(|pair| {
                    (PartnerId::new(number(pair[0])).unwrap(), u32::try_from(number(pair[1])).unwrap())
                })
                .collect(),
        ),
        _ => panic!("no model {text:?}"),
    }
}

fn customer(text: &str) -> CustomerRef {
    CustomerRef([u8::try_from(number(text)).unwrap(); 16])
}

impl Scenario {
    pub fn new() -> Self {
        Self { world: World::new(), clicks: BTreeMap::new(), events: 0 }
    }

    /// Runs a command; everything but `show`.
    pub fn run(&mut self, line: &str) {
        let words = Words::of(line);
        let (shard, input) = match words.at(0) {
            "at" => {
                self.world.now = minutes(words.at(1));
                return;
            }
            "click" => {
                let click = self.click(&words);
                self.clicks.insert(words.at(1).to_owned(), click);
                return;
            }
            "close" => {
                let through = words.get("through").map_or(self.world.now, minutes);
                (settlement(), Input::ClosePeriod { through })
            }
            _ => (advertiser(1), self.input(&words)),
        };
        self.world.feed(shard, input);
        self.world.deliver();
    }

    /// What a command feeds to the advertiser's shard.
    pub fn input(&mut self, words: &Words<'_>) -> Input {
        match words.at(0) {
            "terms" => Input::Terms(terms(words)),
            "touch" => {
                let (customer, click) = (customer(words.at(1)), self.clicks[words.at(2)]);
                let vouched = if words.has("page") { Vouched::Page } else { Vouched::Server };
                Input::Touch(Touch { customer, click, bound_at: self.world.now, vouched })
            }
            "order" => Input::OrderEvent(self.order_event(words)),
            "hold" => Input::HoldElapsed { order_id: words.at(1).to_owned() },
            "pixel" => Input::Conversion(self.report(Authority::Pixel, words)),
            "token" => Input::Conversion(self.report(Authority::TokenPostback, words)),
            "signed" => Input::Conversion(self.report(Authority::Signed, words)),
            other => panic!("unknown command {other:?}"),
        }
    }

    fn click(&self, words: &Words<'_>) -> ClickCredit {
        let ordinal = number(words.at(1));
        let tenant = TenantId::new(if words.has("foreign") { 99 } else { 1 }).unwrap();
        let at_secs = u32::try_from(minutes(words.get("at").unwrap()).secs()).unwrap();
        let verdict = match (words.has("block"), words.has("flag")) {
            (true, _) => VerdictKind::Block,
            (_, true) => VerdictKind::Flag,
            _ => VerdictKind::Allow,
        };
        let click = ClickFacts {
            tenant,
            link: LinkId::new(1).unwrap(),
            offer: OfferId::new(number(words.at(2))).unwrap(),
            at_secs,
            address: Address { stream: StreamNo(1), ordinal },
            country: Country::UNKNOWN,
            device: DeviceClass::Desktop,
            verdict,
            rule_set_version: 0,
            flags: ClickFlags(if words.has("test") { ClickFlags::TEST } else { 0 }),
        };
        let partner = PartnerId::new(number(words.at(3))).unwrap();
        ClickCredit { click, partner, program: ProgramId::new(1).unwrap() }
    }

    fn report(&self, authority: Authority, words: &Words<'_>) -> ConversionReport {
        let goal = words.get("goal").unwrap_or("sale").to_owned();
        let event_id = words.get("event").map(str::to_owned);
        ConversionReport {
            key: ConversionKey { order_id: words.at(1).to_owned(), goal, event_id },
            authority,
            amount: words.get("amount").map(money),
            click: words.get("click").map(|name| self.clicks[name]),
            customer: words.get("customer").map(customer),
            coupon: words.get("coupon").map(str::to_owned),
            occurred_at: words.get("at").map_or(self.world.now, minutes),
            source: Source::Api(authority.as_str().to_owned()),
        }
    }

    fn order_event(&mut self, words: &Words<'_>) -> OrderEvent {
        self.events += 1;
        OrderEvent {
            order_id: words.at(1).to_owned(),
            event_id: words.get("id").map_or_else(|| format!("event {}", self.events), str::to_owned),
            kind: OrderEventKind::parse(words.at(2))
                .unwrap_or_else(|| panic!("unknown kind {:?}", words.at(2))),
            amount: words.get("amount").map(money),
            occurred_at: words.get("at").map_or(self.world.now, minutes),
            source: Source::Api("test".to_owned()),
        }
    }
}

fn terms(words: &Words<'_>) -> OfferTerms {
    let named = ["from", "window", "hold", "model", "program"];
    let goals = words.pairs().filter(|(key, _)| !named.contains(key));
    OfferTerms {
        offer: OfferId::new(number(words.at(1))).unwrap(),
        program: ProgramId::new(words.get("program").map_or(1, number)).unwrap(),
        version: u32::try_from(number(words.at(2))).unwrap(),
        valid_from: words.get("from").map_or(UnixMicros(0), minutes),
        window_secs: words.get("window").map_or(3600, |text| minutes(text).secs()),
        goals: goals.map(|(goal, text)| GoalPlan { goal: goal.to_owned(), plan: plan(text) }).collect(),
        hold: hold(words.get("hold").unwrap_or("delivered,1d")),
        model: model(words.get("model").unwrap_or("last")),
        trust_pixel: words.has("trust"),
    }
}
