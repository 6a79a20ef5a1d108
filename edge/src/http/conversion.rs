//! `GET /p/{advertiser}.gif` and `GET|POST /postback/{advertiser}`.

use super::reply::{self, Reply};
use super::request::is_form;
use super::worker::{Answer, Hit, Worker, durable, prefetch};
use crate::decide::conversion::{
    Accepted, Channel, Fingerprint, Receiver, Sender, check, conversion_id, judge_conversion, nonce_key,
    record_accepted, record_refused, resolve,
};
use crate::decide::params::ConversionParams;
use crate::metrics::Outcome;
use crate::state::SeenKey;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use proto_model::{AdvertiserId, DerivedId, Lane, Reason, VerdictKind};
use proto_wire::convert::RefusedRef;
use std::time::Duration;

/// The largest form. A postback has a dozen short fields.
const MAX_BODY: usize = 64 * 1024;

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

    pub(super) async fn postback<B>(&self, hit: &Hit<'_>, id: &str, body: B) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let form = if hit.parts.method == http::Method::POST {
            match read_form(hit, body, self.shared.timeouts.body).await {
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
        let answer = self.report(hit, channel, to, form).await;
        match channel {
            Channel::Postback if to.advertiser.postback.legacy_always_200 => as_legacy(answer),
            _ => answer,
        }
    }

    async fn report(&self, hit: &Hit<'_>, channel: Channel, to: Receiver<'_>, form: &[u8]) -> Answer {
        let names = &to.advertiser.postback.parameters;
        let params = match channel {
            Channel::Pixel => ConversionParams::read(hit.query(), form),
            Channel::Postback => ConversionParams::read_as(|name| names.field(name), hit.query(), form),
        };
        let sender = Sender { channel, ip: hit.ip, at: hit.now };
        match check(to, sender, &params) {
            Ok(accepted) => self.accepted(hit, channel, to, &accepted, nonce_key(to, &params)).await,
            Err(refused) => self.refused(hit, channel, to, refused).await,
        }
    }

    async fn accepted(
        &self,
        hit: &Hit<'_>,
        channel: Channel,
        to: Receiver<'_>,
        accepted: &Accepted<'_>,
        nonce: Option<SeenKey>,
    ) -> Answer {
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
            return self.refused(hit, channel, to, accepted.refused(Reason::ReplayedNonce)).await;
        }
        let client = self.client(hit);
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

    async fn refused(
        &self,
        hit: &Hit<'_>,
        channel: Channel,
        to: Receiver<'_>,
        refused: RefusedRef<'_>,
    ) -> Answer {
        let reason = refused.reason;
        let client = self.client(hit);
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

/// A pixel is an image whatever happens.
fn refusal(channel: Channel, status: StatusCode, reason: Reason) -> Reply {
    match channel {
        Channel::Pixel => reply::gif(),
        Channel::Postback if status == StatusCode::ACCEPTED => {
            reply::json(status, format!("{{\"status\":\"noted\",\"reason\":\"{reason}\"}}\n"))
        }
        Channel::Postback => reply::json_refusal(status, reason),
    }
}

fn come_again(channel: Channel, reason: Reason) -> Answer {
    let reply = refusal(channel, StatusCode::SERVICE_UNAVAILABLE, reason);
    let answer = Answer::new(reply, Outcome::Failed, reason);
    if channel == Channel::Postback { answer.retry_after(1) } else { answer }
}

fn outcome(channel: Channel, status: StatusCode, word: &str, conversion: DerivedId) -> Reply {
    match channel {
        Channel::Pixel => reply::gif(),
        Channel::Postback => {
            let conversion = conversion.text("cnv");
            reply::json(status, format!("{{\"status\":\"{word}\",\"conversion\":\"{conversion}\"}}\n"))
        }
    }
}

async fn read_form<B>(hit: &Hit<'_>, body: B, limit: Duration) -> Result<Bytes, (StatusCode, Reason)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const TOO_LARGE: (StatusCode, Reason) = (StatusCode::PAYLOAD_TOO_LARGE, Reason::BodyTooLarge);
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if !is_form(&hit.parts.headers) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::UnsupportedMediaType));
    }
    // Said before a byte of it is asked for.
    let announced = hit.parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|len| len > MAX_BODY as u64) {
        return Err(TOO_LARGE);
    }
    let body = std::pin::pin!(Limited::new(body, MAX_BODY));
    match tokio::time::timeout(limit, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, Reason::MalformedRequest)),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, Reason::RequestTimeout)),
    }
}
