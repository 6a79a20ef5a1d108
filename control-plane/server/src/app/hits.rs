//! Hits of a tenant as they come in, of every kind and oldest first, read from the journal.
//!
//! No index says which batches hold hits of whom: all are read, a bounded number in one call, and the place from which
//! the next call goes on moves past the batches of others, too.

use super::App;
use super::scan::{self, Scanned};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::conversions::ConversionRow;
use control_plane_store::journal::JournalRow;
use control_plane_store::projection::LinkTarget;
use proto_model::event::{Body, TrackingEvent};
use proto_model::{Address, AdvertiserId, DerivedId, LinkId, Reason, TenantId};
use std::collections::BTreeMap;
use std::time::Duration;

/// That one call opens.
const BATCHES: u32 = 32;
/// That one call looks up only to see whether they are for tests.
const LINKS: usize = 100;
/// A process that dies between commit and signal says nothing, so whoever waits looks now and then.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HitFilter {
    pub link: Option<LinkId>,
    pub advertiser: Option<AdvertiserId>,
    pub test: Option<bool>,
}

impl HitFilter {
    fn takes(&self, hit: &Hit) -> bool {
        self.link.is_none_or(|link| link_of(&hit.event.body) == Some(link))
            && self.advertiser.is_none_or(|advertiser| advertiser_of(&hit.event.body) == advertiser)
            && self.test.is_none_or(|test| test == hit.test)
    }
}

pub struct Hit {
    pub address: Address,
    pub event: TrackingEvent,
    /// Of a test link, or sent with a test token.
    pub test: bool,
    /// Where its link leads, if it has one that is known.
    pub target: Option<LinkTarget>,
    /// What the books say of a conversion, once they say anything.
    pub conversion: Option<ConversionRow>,
}

pub struct Feed {
    pub hits: Vec<Hit>,
    /// Where the next call goes on.
    pub next: u64,
    /// There is more already.
    pub more: bool,
}

/// Behind all that is in the journal.
pub async fn now(app: &App) -> Result<u64, AppError> {
    Ok(scan::start_of(app.store.given_through().await? + 1))
}

/// At most `limit` hits after the place `after`. When there is none yet, one is waited for.
pub async fn follow(
    app: &App,
    tenant: TenantId,
    filter: HitFilter,
    after: u64,
    limit: usize,
    wait: Duration,
) -> Result<Feed, AppError> {
    // Before the first look: a batch that comes in between wakes us.
    let mut journal = app.store.signals().journal.subscribe();
    let mut stop = app.stop.clone();
    let patience = tokio::time::sleep(wait);
    tokio::pin!(patience);
    let mut scan = Scan { app, tenant, filter, limit, batches: BATCHES, links: BTreeMap::new() };
    let mut place = after;
    loop {
        let feed = scan.look(place).await?;
        if !feed.hits.is_empty() || feed.more {
            return enriched(app, tenant, feed).await;
        }
        place = feed.next;
        tokio::select! {
            biased;
            () = stop.wait() => return Ok(feed),
            () = &mut patience => return Ok(feed),
            _ = journal.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// One call's way through the journal, with what is left of its means.
struct Scan<'a> {
    app: &'a App,
    tenant: TenantId,
    filter: HitFilter,
    limit: usize,
    batches: u32,
    /// Whether they are for tests.
    links: BTreeMap<LinkId, bool>,
}

impl Scan<'_> {
    async fn look(&mut self, after: u64) -> Result<Feed, AppError> {
        let mut feed = Feed { hits: Vec::new(), next: after, more: false };
        while let Some(row) = self.app.store.journal_batch_from(scan::batch_of(feed.next)).await? {
            if self.batches == 0 {
                feed.more = true;
                break;
            }
            self.batches -= 1;
            if !self.batch(row, &mut feed).await? {
                feed.more = true;
                break;
            }
        }
        Ok(feed)
    }

    /// False when the call has all that it may have.
    async fn batch(&mut self, row: JournalRow, feed: &mut Feed) -> Result<bool, AppError> {
        let (end, tenant) = (scan::start_of(row.seq + 1), self.tenant);
        let scanned = tokio::task::spawn_blocking(move || scan::events_of(row, tenant))
            .await
            .map_err(|error| AppError::internal("the scan of the journal was cut short", error))?;
        let after = feed.next;
        for Scanned { place, address, event } in scanned.into_iter().filter(|scanned| scanned.place > after) {
            if feed.hits.len() >= self.limit {
                return Ok(false);
            }
            let Some(test) = self.is_test(&event.body).await? else { return Ok(false) };
            let hit = Hit { address, event, test, target: None, conversion: None };
            feed.hits.extend(Some(hit).filter(|hit| self.filter.takes(hit)));
            feed.next = place;
        }
        feed.next = end;
        Ok(true)
    }

    /// `None`: too many links were looked up. The events of refused clicks say nothing of it themselves.
    async fn is_test(&mut self, body: &Body) -> Result<Option<bool>, AppError> {
        let link = match body {
            Body::Click(click) => return Ok(Some(click.flags.test())),
            Body::Impression(shown) => return Ok(Some(shown.flags.test())),
            Body::Touch(touch) => return Ok(Some(touch.click.flags.test())),
            Body::Conversion(hit) => return Ok(Some(hit.click.is_some_and(|click| click.flags.test()))),
            Body::Refused(hit) => match hit.link.filter(|_| hit.reason != Reason::Test) {
                Some(link) => link,
                None => return Ok(Some(hit.reason == Reason::Test)),
            },
        };
        if let Some(known) = self.links.get(&link) {
            return Ok(Some(*known));
        }
        if self.links.len() >= LINKS {
            return Ok(None);
        }
        let test = match self.app.store.get_link(self.tenant, link).await {
            Ok(found) => super::links::is_test(&found),
            Err(StoreError::NotFound) => false,
            Err(error) => return Err(error.into()),
        };
        self.links.insert(link, test);
        Ok(Some(test))
    }
}

/// With what the books know of them.
async fn enriched(app: &App, tenant: TenantId, mut feed: Feed) -> Result<Feed, AppError> {
    let links = feed.hits.iter().filter_map(|hit| Some((tenant, link_of(&hit.event.body)?)));
    let targets = app.store.links_by_id(&links.collect::<Vec<_>>()).await?;
    for hit in &mut feed.hits {
        hit.target = link_of(&hit.event.body).and_then(|link| targets.get(&(tenant, link)).copied());
        if let Some(id) = conversion_of(tenant, &hit.event.body) {
            hit.conversion = match app.store.get_conversion(tenant, id).await {
                Ok(row) => Some(row),
                Err(StoreError::NotFound) => None,
                Err(error) => return Err(error.into()),
            };
        }
    }
    Ok(feed)
}

pub fn conversion_of(tenant: TenantId, body: &Body) -> Option<DerivedId> {
    let Body::Conversion(hit) = body else { return None };
    let event_id = hit.event_id.as_deref();
    Some(DerivedId::of_conversion(tenant, hit.advertiser, &hit.order_id, &hit.goal, event_id))
}

pub fn link_of(body: &Body) -> Option<LinkId> {
    match body {
        Body::Click(click) => Some(click.link),
        Body::Impression(shown) => Some(shown.link),
        Body::Touch(touch) => Some(touch.click.link),
        Body::Conversion(hit) => hit.click.map(|click| click.link),
        Body::Refused(hit) => hit.link,
    }
}

pub fn advertiser_of(body: &Body) -> AdvertiserId {
    match body {
        Body::Click(click) => click.advertiser,
        Body::Impression(shown) => shown.advertiser,
        Body::Touch(touch) => touch.advertiser,
        Body::Conversion(hit) => hit.advertiser,
        Body::Refused(hit) => hit.advertiser,
    }
}
