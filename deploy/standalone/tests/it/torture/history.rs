//! What clients were answered, held against what the journal, the reports and the books say. It knows nothing of how
//! any of them is made.

use super::verdict::Figures;
use crate::failover::COMMISSION;
use crate::harness::{Api, eventually};
use crate::main_job::assert_balanced;
use crate::outage::clicks_in_reports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Of one tenant.
#[derive(Default)]
pub struct History {
    /// Requests for a click, whatever came of them.
    pub sent: usize,
    /// Click ids that came with a redirect.
    pub clicks: Vec<String>,
    /// Redirects whose click the edge said it could not keep.
    pub unspooled: usize,
    /// Requests for a click that nobody answered: they count once or not at all.
    pub unanswered: usize,
    /// Orders that somebody began to report.
    pub orders_sent: usize,
    /// Those that were answered with 202 or 409: one for each click that was answered.
    pub orders: BTreeSet<String>,
    /// How often one of them had to be sent again.
    pub repeated: usize,
}

/// What the books say.
struct Books {
    /// Where in the journal the orders' clicks stand.
    clicks: BTreeSet<(u64, u64)>,
    converted: usize,
    credited: usize,
}

impl History {
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.clicks.extend(other.clicks);
        self.unspooled += other.unspooled;
        self.unanswered += other.unanswered;
        self.orders_sent += other.orders_sent;
        self.orders.extend(other.orders);
        self.repeated += other.repeated;
    }

    /// Waits until all of it has arrived, and then finds nothing missing, nothing double and nothing made up.
    pub async fn check(&self, api: &Api, operator: &Api) -> Figures {
        arrive("every order", self.orders.len(), async || {
            api.all("/v1/commissions?status=approved").await.len()
        })
        .await;
        arrive("every click", self.clicks.len(), async || counted(api).await).await;
        let journal = self.in_the_journal(api).await;
        let books = self.in_the_books(api, &journal).await;
        let paid = self.in_the_payouts(api).await;
        let verified = operator.post("/v1/journal/verify", json!({})).await;
        assert_eq!(verified["ok"], true, "{verified}");
        assert!(verified["lost_ordinals"] == 0 && verified["set_aside"] == 0, "{verified}");
        let alerts = operator.all("/v1/alerts").await;
        assert!(!alerts.iter().any(|alert| alert["kind"] == "hits_lost"), "{alerts:?}");
        let figures = Figures {
            sent: self.sent,
            answered: self.clicks.len(),
            not_kept: self.unspooled,
            unanswered: self.unanswered,
            unanswered_journaled: journal.difference(&books.clicks).count(),
            journaled: journal.len(),
            counted: counted(api).await,
            orders_sent: self.orders_sent,
            orders_answered: self.orders.len(),
            repeated: self.repeated,
            converted: books.converted,
            credited: books.credited,
            paid,
            ..Figures::default()
        };
        assert_eq!(figures.unequal(), Vec::<String>::new());
        figures
    }

    /// Addresses of all clicks in the journal.
    async fn in_the_journal(&self, api: &Api) -> BTreeSet<(u64, u64)> {
        let ids: BTreeSet<&String> = self.clicks.iter().collect();
        assert_eq!(ids.len(), self.clicks.len(), "no id is given out twice");
        let clicks = api.all("/v1/clicks").await;
        let journal: BTreeSet<_> = clicks.iter().map(|click| address(&click["address"])).collect();
        assert_eq!(journal.len(), clicks.len(), "no address holds two clicks");
        let (least, most) = (self.clicks.len(), self.clicks.len() + self.unanswered);
        assert!((least..=most).contains(&journal.len()), "{} clicks of {least} to {most}", journal.len());
        assert_eq!(counted(api).await, journal.len(), "what is journalled is counted, once");
        journal
    }

    async fn in_the_books(&self, api: &Api, journal: &BTreeSet<(u64, u64)>) -> Books {
        let conversions = by_order(api.all("/v1/conversions").await);
        let commissions = by_order(api.all("/v1/commissions").await);
        assert!(conversions.keys().eq(&self.orders), "each order once, and none that was not sent");
        assert!(commissions.keys().eq(&self.orders));
        let mut clicks = BTreeSet::new();
        for (order, conversion) in &conversions {
            let click = address(&conversion["explain"]["candidates"][0]["click"]["address"]);
            assert!(journal.contains(&click), "{order}: its click was answered and is not in the journal");
            assert!(clicks.insert(click), "{order}: another order has its click");
        }
        assert_eq!(clicks.len(), self.clicks.len(), "each click that was answered has its order");
        for (order, commission) in &commissions {
            assert_eq!(commission["amount"]["amount"], COMMISSION, "{order}");
            assert_eq!(commission["status"], "approved", "{order}");
        }
        assert_balanced(api).await;
        let replay = api.post("/v1/ledger/replay", json!({})).await;
        assert_eq!(replay["equal"], true, "{replay}");
        Books { clicks, converted: conversions.len(), credited: commissions.len() }
    }
}

impl History {
    /// Closes the period, and finds each order on one line of a statement, and their sum in the payouts.
    async fn in_the_payouts(&self, api: &Api) -> usize {
        // What was approved a moment ago may still be on its way to the settlement.
        let lines = eventually("every order on a statement", || async {
            api.post("/v1/settlements", json!({})).await;
            let statements = api.all("/v1/statements").await;
            let lines = statements.iter().flat_map(|one| one["lines"].as_array().expect("lines").clone());
            let lines: Vec<Value> = lines.collect();
            (lines.len() >= self.orders.len()).then_some(lines)
        })
        .await;
        let minor = |item: &Value| item["amount"]["amount"].as_i64().expect("integer minor units");
        assert!(lines.iter().all(|line| minor(line) == COMMISSION), "{lines:?}");
        let paid = by_order(lines);
        assert!(paid.keys().eq(&self.orders), "each order is paid once, and none that was not sent");
        let sum: i64 = api.all("/v1/payouts").await.iter().map(minor).sum();
        assert_eq!(sum, COMMISSION * i64::try_from(paid.len()).expect("few"));
        paid.len()
    }
}

async fn counted(api: &Api) -> usize {
    usize::try_from(clicks_in_reports(api).await).expect("a count")
}

/// A machine that is overloaded takes its time: nobody gives up while there is progress.
async fn arrive(what: &str, wanted: usize, count: impl AsyncFn() -> usize) {
    let mut seen = count().await;
    while seen < wanted {
        seen = eventually(what, async || {
            let now = count().await;
            (now > seen || now >= wanted).then_some(now)
        })
        .await;
    }
}

fn address(value: &Value) -> (u64, u64) {
    let number = |field: &str| value[field].as_u64().unwrap_or_else(|| panic!("{field} of {value}"));
    (number("stream"), number("ordinal"))
}

fn by_order(items: Vec<Value>) -> BTreeMap<String, Value> {
    let count = items.len();
    let order = |item: &Value| item["order_id"].as_str().expect("an order").to_owned();
    let found: BTreeMap<_, _> = items.into_iter().map(|item| (order(&item), item)).collect();
    assert_eq!(found.len(), count, "each order once");
    found
}
