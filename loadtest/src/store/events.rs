//! Hits as shoppers make them: skewed over links and countries, most of them allowed.

use control_plane_server::app::clock;
use proto_model::event::{
    Authority, Body, Click, ConversionHit, FineFacts, Network, Personal, Privacy, RecordedFacts,
    RecordedVerdict, TrackingEvent, Uniqueness,
};
use proto_model::{
    Address, AdvertiserId, Amount, ClickFacts, ClickFlags, Country, Currency, DeviceClass, LinkId, OfferId,
    PartnerId, ProgramId, StreamNo, TenantId, VerdictKind,
};

#[derive(Clone, Copy)]
pub struct LinkRow {
    pub link: LinkId,
    pub offer: OfferId,
    pub partner: PartnerId,
}

#[derive(Clone)]
pub struct Catalog {
    pub tenant: TenantId,
    pub advertiser: AdvertiserId,
    pub program: ProgramId,
    pub links: Vec<LinkRow>,
}

const COUNTRIES: [&str; 12] = ["US", "CN", "DE", "GB", "FR", "IN", "BR", "JP", "CA", "ES", "IT", "AU"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7; rv:145.0) Gecko/20100101 Firefox/145.0",
];

/// The same hits in every run.
pub struct Hits {
    catalog: Catalog,
    state: u64,
}

impl Hits {
    pub fn new(catalog: &Catalog) -> Self {
        Self { catalog: catalog.clone(), state: 0x7269_7665_7273 }
    }

    /// splitmix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(1).max(1);
        usize::try_from(self.draw() % limit).unwrap_or_default()
    }

    /// The smaller of two: a few are met often.
    fn skewed<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let (a, b) = (self.below(from.len()), self.below(from.len()));
        from.get(a.min(b)).copied()
    }

    fn link(&mut self) -> LinkRow {
        let links = std::mem::take(&mut self.catalog.links);
        let nobody = LinkRow {
            link: LinkId::from_random(1),
            offer: OfferId::from_random(1),
            partner: PartnerId::from_random(1),
        };
        let link = self.skewed(&links).unwrap_or(nobody);
        self.catalog.links = links;
        link
    }

    fn event(&mut self, verdict: RecordedVerdict, body: Body) -> TrackingEvent {
        let mobile = self.below(10) < 6;
        TrackingEvent {
            tenant: self.catalog.tenant,
            occurred_at: clock::now(),
            facts: RecordedFacts {
                country: Country::parse(self.skewed(&COUNTRIES).unwrap_or("ZZ")),
                device: if mobile { DeviceClass::Mobile } else { DeviceClass::Desktop },
                os: if mobile { "Android" } else { "Windows" }.into(),
                browser: "Chrome".into(),
                geo_version: 1,
                fine: FineFacts { language: "de".into(), connection: "4g".into(), ..FineFacts::default() },
                privacy: Privacy::Full,
                privacy_policy: 1,
            },
            verdict,
            body,
        }
    }

    fn network(&mut self) -> Network {
        let (a, b) = (self.below(223), self.below(256));
        Network {
            ip_prefix: format!("{}.{b}.{}.0/24", a + 1, self.below(256)),
            ip_hash: (u128::from(self.draw()) << 64 | u128::from(self.draw())).to_be_bytes(),
            user_agent: AGENTS.get(self.below(AGENTS.len())).copied().unwrap_or_default().into(),
            referrer: format!("https://blog.example/{}", self.below(500)),
        }
    }

    pub fn click(&mut self) -> (TrackingEvent, Personal) {
        let verdict = match self.below(100) {
            0..2 => (VerdictKind::Block, Some("crawlers")),
            2..5 => (VerdictKind::Flag, Some("watched")),
            _ => (VerdictKind::Allow, None),
        };
        let verdict =
            RecordedVerdict { kind: verdict.0, rule_id: verdict.1.map(str::to_owned), rule_set_version: 3 };
        let LinkRow { link, offer, partner } = self.link();
        let Catalog { program, advertiser, .. } = self.catalog;
        let flags = ClickFlags::default();
        let uniqueness = if self.below(4) == 0 { Uniqueness::Repeated } else { Uniqueness::Unique };
        let click = Click { link, offer, partner, program, advertiser, flags, uniqueness };
        let sub_ids = if self.below(2) == 0 {
            vec!["spring".into(), format!("post-{}", self.below(300))]
        } else {
            Vec::new()
        };
        let personal = Personal { network: Some(self.network()), sub_ids, ..Personal::default() };
        (self.event(verdict, Body::Click(click)), personal)
    }

    /// A sale that names its click; every second one its customer.
    pub fn sale(&mut self, number: u64) -> (TrackingEvent, Personal) {
        let LinkRow { link, offer, .. } = self.link();
        let now = clock::now();
        let click = ClickFacts {
            tenant: self.catalog.tenant,
            link,
            offer,
            at_secs: u32::try_from(now.secs() - 1_800).unwrap_or_default(),
            // Its batch has not arrived, as with an edge that was cut off.
            address: Address { stream: StreamNo(1_000_000), ordinal: number },
            country: Country::parse("DE"),
            device: DeviceClass::Mobile,
            verdict: VerdictKind::Allow,
            rule_set_version: 3,
            flags: ClickFlags::default(),
        };
        let minor = 1_000 + i64::try_from(self.below(90_000)).unwrap_or_default();
        let hit = ConversionHit {
            advertiser: self.catalog.advertiser,
            authority: Authority::TokenPostback,
            click: Some(click),
            order_id: format!("order-{number}"),
            goal: "sale".into(),
            event_id: None,
            amount: Currency::parse("EUR").ok().map(|currency| Amount::new(minor, currency)),
            coupon: None,
        };
        let customer_id = number.is_multiple_of(2).then(|| format!("customer-{number}"));
        let personal = Personal { network: Some(self.network()), customer_id, ..Personal::default() };
        let verdict = RecordedVerdict { kind: VerdictKind::Allow, rule_id: None, rule_set_version: 3 };
        (self.event(verdict, Body::Conversion(hit)), personal)
    }
}
