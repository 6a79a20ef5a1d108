//! `GET /p/{advertiser}.gif` and `GET|POST /postback/{advertiser}`.

use super::body::{self, Kind};
use super::cookie;
use super::reply::{self, Reply};
use super::request::is_form;
use super::worker::{Answer, Hit, Worker, durable, prefetch};
use crate::decide::conversion::{
    Accepted, Channel, Fingerprint, Receiver, Sender, check, conversion_id, judge_conversion, nonce_key,
    record_accepted, record_refused, resolve,
};
use crate::decide::params::ConversionParams;
use crate::decide::privacy::{self, Privacy};
use crate::metrics::Outcome;
use crate::state::SeenKey;
use bytes::Bytes;
use http::StatusCode;
use hyper::body::Body;
use proto_model::{AdvertiserId, DerivedId, Lane, Reason, VerdictKind};
use proto_wire::convert::RefusedRef;
use std::borrow::Cow;

/// A postback has a dozen short fields.
const FORM: Kind = Kind { takes: is_form, max: 64 * 1024 };

/// A report in good order, and what is to be seen to beside its fields.
struct Said<'a> {
    accepted: &'a Accepted<'a>,
    nonce: Option<SeenKey>,
    privacy: Privacy,
}

impl Worker {
    pub(super) async fn pixel(&self, hit: &Hit<'_>, id: &str) -> Answer {
        if hit.is_head() {
            return Answer::new(reply::gif(), Outcome::Uncounted, None);
        }
        if prefetch(hit) {
            return Answer::new(reply::gif(), Outcome::Uncounted, Reason::Prefetch);
        }
        self.conversion(hit, Channel::Pixel, id, &[]).await
    }

    /// A pixel that is a page, for a frame.
    pub(super) async fn frame(&self, hit: &Hit<'_>, id: &str) -> Answer {
        if hit.is_head() {
            return Answer::new(reply::blank(), Outcome::Uncounted, None);
        }
        if prefetch(hit) {
            return Answer::new(reply::blank(), Outcome::Uncounted, Reason::Prefetch);
        }
        self.conversion(hit, Channel::Frame, id, &[]).await
    }

    pub(super) async fn postback<B>(&self, hit: &Hit<'_>, id: &str, body: B) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let form = if hit.parts.method == http::Method::POST {
            match body::read(hit, body, FORM, self.shared.timeouts.body).await {
                Ok(form) => form,
                Err((status, reason)) => {
                    return Answer::new(reply::json_refusal(status, reason), Outcome::Refused, reason);
                }
            }
        } else {
            Bytes::new()
        };
        self.conversion(hit, Channel::Postback, id, &form).await
    }

    async fn conversion(&self, hit: &Hit<'_>, channel: Channel, id: &str, form: &[u8]) -> Answer {
        let Some(snapshot) = self.shared.parts.snapshot.load_full() else {
            return come_again(channel, Reason::NoSnapshot);
        };
        let known = id.parse::<AdvertiserId>().ok().and_then(|id| resolve(&snapshot, id));
        let Some(to) = known else {
            let reply = refusal(channel, StatusCode::NOT_FOUND, Reason::UnknownAdvertiser);
            return Answer::new(reply, Outcome::Refused, Reason::UnknownAdvertiser);
        };
        let postback = &to.advertiser.postback;
        let mut params = match channel {
            Channel::Postback => {
                ConversionParams::read_as(|name| postback.parameters.field(name), hit.query(), form)
            }
            _ => ConversionParams::read(hit.query(), form),
        };
        let form = std::str::from_utf8(form).unwrap_or_default();
        let said = [hit.query(), form].map(|text| privacy::said_as(&postback.consent_parameters, text));
        let said = privacy::least(said.into_iter().chain([privacy::asked_for(None, None, form)]));
        if matches!(channel, Channel::Pixel | Channel::Frame) && params.click_id.is_none() {
            params.click_id = self.kept_click(hit, to, said).map(Cow::Borrowed);
        }
        let answer = self.report(hit, channel, to, &params, said).await;
        match channel {
            Channel::Postback if to.advertiser.postback.legacy_always_200 => as_legacy(answer),
            _ => answer,
        }
    }

    /// The click that a cookie of ours names, if it is one, and its visitor has not asked that none be used.
    fn kept_click<'h>(&self, hit: &Hit<'h>, to: Receiver<'_>, said: Privacy) -> Option<&'h str> {
        let kept = cookie::get(&hit.parts.headers, to.id)?;
        let privacy = privacy::least([self.client(hit).privacy, said]);
        (privacy == Privacy::Full && to.keeps_click(kept, hit.now)).then_some(kept)
    }

    /// `said` is what the report itself says of its customer's privacy.
    pub(super) async fn report(
        &self,
        hit: &Hit<'_>,
        channel: Channel,
        to: Receiver<'_>,
        params: &ConversionParams<'_>,
        said: Privacy,
    ) -> Answer {
        let sender = Sender { channel, ip: hit.ip, at: hit.now };
        match check(to, sender, params) {
            Ok(accepted) => {
                let nonce = nonce_key(to, channel, params);
                self.accepted(hit, channel, to, Said { accepted: &accepted, nonce, privacy: said }).await
            }
            Err(refused) => self.refused(hit, channel, to, refused, said).await,
        }
    }

    async fn accepted(&self, hit: &Hit<'_>, channel: Channel, to: Receiver<'_>, said: Said<'_>) -> Answer {
        let Said { accepted, nonce, privacy } = said;
        let tenant = to.advertiser.tenant;
        let conversion = conversion_id(tenant, &accepted.hit);
        let fingerprint = Fingerprint::of(conversion, accepted);
        let state = &self.shared.parts.state;
        if fingerprint.is_repetition(|key| state.seen_conversion(key)) {
            let reply = outcome(channel, StatusCode::CONFLICT, "duplicate", conversion);
            return Answer::new(reply, Outcome::Duplicate, Reason::Duplicate);
        }
        // What is sent again word for word was answered above: this is another report with a used nonce.
        if nonce.is_some_and(|nonce| state.seen_conversion(nonce)) {
            let refused = accepted.refused(Reason::ReplayedNonce);
            return self.refused(hit, channel, to, refused, privacy).await;
        }
        let mut client = self.client(hit);
        client.privacy = privacy::least([client.privacy, privacy]);
        let verdict = judge_conversion(to, channel, accepted, &client, hit.now);
        let blocked = verdict.kind == VerdictKind::Block;
        let origin = client.origin(&self.shared.hasher, hit.now);
        let recorded = record_accepted(to, accepted, verdict, &client, &origin, hit.now);
        let queued = self.spool(Lane::Money, &recorded);
        if durable(queued).await.is_err() {
            return come_again(channel, Reason::SpoolUnavailable);
        }
        // Only now: a report that was lost must not make its repetition a duplicate.
        state.remember_conversion(fingerprint.key());
        nonce.into_iter().for_each(|nonce| state.remember_conversion(nonce));
        let reply = outcome(channel, StatusCode::ACCEPTED, "accepted", conversion);
        if blocked {
            Answer::new(reply, Outcome::Blocked, Reason::BlockedByRule)
        } else {
            Answer::new(reply, Outcome::Recorded, None)
        }
    }

    pub(super) async fn refused(
        &self,
        hit: &Hit<'_>,
        channel: Channel,
        to: Receiver<'_>,
        refused: RefusedRef<'_>,
        said: Privacy,
    ) -> Answer {
        let reason = refused.reason;
        let mut client = self.client(hit);
        client.privacy = privacy::least([client.privacy, said]);
        let origin = client.origin(&self.shared.hasher, hit.now);
        let queued = self.spool(Lane::Money, &record_refused(to, refused, &client, &origin, hit.now));
        // A refusal ends the matter for the sender, so it must be on record first.
        if durable(queued).await.is_err() {
            return come_again(channel, Reason::SpoolUnavailable);
        }
        let status = match reason {
            Reason::BadToken | Reason::BadSignature | Reason::StaleTimestamp => StatusCode::FORBIDDEN,
            Reason::ForbiddenAddress | Reason::ReplayedNonce => StatusCode::FORBIDDEN,
            // Understood, kept, and of no effect, as the sender wanted it.
            Reason::Test | Reason::RejectedByAdvertiser => StatusCode::ACCEPTED,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Answer::new(refusal(channel, status, reason), Outcome::Refused, reason)
    }
}

/// Some senders take any other status for a reason to call somebody at night. What could not be made durable is still
/// said to be so: it must come again.
fn as_legacy(mut answer: Answer) -> Answer {
    if answer.outcome != Outcome::Failed {
        *answer.reply.status_mut() = StatusCode::OK;
    }
    answer
}

/// A pixel is an image whatever happens, and a frame is empty.
fn refusal(channel: Channel, status: StatusCode, reason: Reason) -> Reply {
    match channel {
        Channel::Pixel => reply::gif(),
        Channel::Frame => reply::blank(),
        Channel::Postback | Channel::Page if status == StatusCode::ACCEPTED => {
            reply::json(status, format!("{{\"status\":\"noted\",\"reason\":\"{reason}\"}}\n"))
        }
        Channel::Postback | Channel::Page => reply::json_refusal(status, reason),
    }
}

fn come_again(channel: Channel, reason: Reason) -> Answer {
    let reply = refusal(channel, StatusCode::SERVICE_UNAVAILABLE, reason);
    let answer = Answer::new(reply, Outcome::Failed, reason);
    if matches!(channel, Channel::Postback | Channel::Page) { answer.retry_after(1) } else { answer }
}

fn outcome(channel: Channel, status: StatusCode, word: &str, conversion: DerivedId) -> Reply {
    match channel {
        Channel::Pixel => reply::gif(),
        Channel::Frame => reply::blank(),
        Channel::Postback | Channel::Page => {
            let conversion = conversion.text("cnv");
            reply::json(status, format!("{{\"status\":\"{word}\",\"conversion\":\"{conversion}\"}}\n"))
        }
    }
}
