//! What clients were answered, held against what the journal, the reports and the books say. It knows nothing of how
//! any of them is made.

use crate::failover::COMMISSION;
use crate::harness::{Api, eventually};
use crate::main_job::assert_balanced;
use crate::outage::clicks_in_reports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Of one tenant.
#[derive(Default)]
pub struct History {
    /// Click ids that came with a redirect.
    pub clicks: Vec<String>,
    /// Redirects whose click the edge said it could not keep.
    pub unspooled: usize,
    /// Requests for a click that nobody answered: they count once or not at all.
    pub unanswered: usize,
    /// Orders that were answered with 202 or 409, each with a click of its own.
    pub orders: BTreeSet<String>,
    /// How often one of them had to be sent again.
    pub repeated: usize,
}

impl History {
    pub fn add(&mut self, other: Self) {
        self.clicks.extend(other.clicks);
        self.unspooled += other.unspooled;
        self.unanswered += other.unanswered;
        self.orders.extend(other.orders);
        self.repeated += other.repeated;
    }

    /// Waits until all of it has arrived, and then finds nothing missing, nothing double and nothing made up.
    pub async fn check(&self, api: &Api, operator: &Api) -> Verdict {
        arrive("every order", self.orders.len(), async || {
            api.all("/v1/commissions?status=approved").await.len()
        })
        .await;
        arrive("every click", self.clicks.len(), async || {
            usize::try_from(clicks_in_reports(api).await).expect("a count")
        })
        .await;
        let journal = self.in_the_journal(api).await;
        self.in_the_books(api, &journal).await;
        let paid = self.in_the_payouts(api).await;
        let verified = operator.post("/v1/journal/verify", json!({})).await;
        assert_eq!(verified["ok"], true, "{verified}");
        Verdict {
            sent: self.clicks.len() + self.unspooled + self.unanswered,
            answered: self.clicks.len(),
            journaled: journal.len(),
            counted: clicks_in_reports(api).await,
            orders: self.orders.len(),
            paid,
            repeated: self.repeated,
        }
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
        let counted = clicks_in_reports(api).await;
        assert_eq!(usize::try_from(counted), Ok(journal.len()), "what is journalled is counted, once");
        journal
    }

    async fn in_the_books(&self, api: &Api, journal: &BTreeSet<(u64, u64)>) {
        let conversions = by_order(api.all("/v1/conversions").await);
        let commissions = by_order(api.all("/v1/commissions").await);
        assert!(conversions.keys().eq(&self.orders), "each order once, and none that was not sent");
        assert!(commissions.keys().eq(&self.orders));
        let mut credited = BTreeSet::new();
        for (order, conversion) in &conversions {
            let click = address(&conversion["explain"]["candidates"][0]["click"]["address"]);
            assert!(journal.contains(&click), "{order}: its click was answered and is not in the journal");
            assert!(credited.insert(click), "{order}: another order has its click");
        }
        for (order, commission) in &commissions {
            assert_eq!(commission["amount"]["amount"], COMMISSION, "{order}");
            assert_eq!(commission["status"], "approved", "{order}");
        }
        assert_balanced(api).await;
        let replay = api.post("/v1/ledger/replay", json!({})).await;
        assert_eq!(replay["equal"], true, "{replay}");
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

/// One page for whoever watches.
#[derive(Default)]
pub struct Verdict {
    sent: usize,
    answered: usize,
    journaled: usize,
    counted: i64,
    orders: usize,
    paid: usize,
    repeated: usize,
}

impl Verdict {
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.journaled += other.journaled;
        self.counted += other.counted;
        self.orders += other.orders;
        self.paid += other.paid;
        self.repeated += other.repeated;
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, answered, journaled, counted, orders, paid, repeated } = self;
        writeln!(f, "clicks   sent {sent}, answered {answered}, journaled {journaled}, counted {counted}")?;
        writeln!(
            f,
            "orders   answered {orders}, converted {orders}, credited {orders}, paid {paid}; sent again {repeated} times"
        )?;
        writeln!(f, "answered, journaled, counted, paid: equal, and the books balance")?;
        write!(
            f,
            "(a click that nobody answered counts once or not at all; one that was not kept is said to be)"
        )
    }
}
