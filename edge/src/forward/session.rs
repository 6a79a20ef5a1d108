//! One session with the control plane: open, send, listen.

use super::Phase;
use super::flow::{Acked, Gap};
use super::halt::Halt;
use super::lane::Outgoing;
use super::order::Order;
use super::retain::Head;
use super::seal::Decision;
use super::sender::Sender;
use crate::node::now_secs;
use proto_model::Lane;
use proto_wire::convert::lane_from_wire;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::{
    Ack, Open, OpenAck, PublishRequest, PublishResponse, Refusal, publish_request, publish_response, refusal,
};
use proto_wire::envelope::{AckStatement, MAX_MESSAGE};
use proto_wire::keys::SignatureError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// No word for this long while batches are under way, beside the time that the largest of them takes over the slowest
/// link that is put up with: the session is given up. A peer that is gone is found by its missing answers to pings.
const SILENCE: Duration = Duration::from_secs(30);
const SLOWEST_BYTES_PER_SEC: u64 = 4096;
/// More than can be under way, also right after a rewind.
const QUEUE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("no connection to the control plane")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane ended the call")]
    Call(#[from] tonic::Status),
    #[error("the control plane did not answer in time")]
    Silent,
    #[error("the control plane closed the session")]
    Closed,
    #[error("the control plane answered out of turn ({0})")]
    Protocol(&'static str),
    #[error("an acknowledgement is not signed by the control plane this edge was enrolled with")]
    Signature(#[from] SignatureError),
    #[error("the control plane cannot take batches for now: {0}")]
    Unavailable(String),
    /// A newer session of this edge is open.
    #[error("the control plane follows another node of this name: {0}")]
    Fenced(String),
    /// This epoch is over.
    #[error("the control plane follows a newer spool of this edge: {0}")]
    Replaced(String),
}

impl SessionError {
    /// The control plane knows who calls, and wants nothing of it.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self, Self::Call(status) if status.code() == Code::PermissionDenied)
    }
}

pub(super) struct Session {
    number: u64,
    out: mpsc::Sender<PublishRequest>,
    inbound: Streaming<PublishResponse>,
    heard: Instant,
    order: Order,
}

impl Session {
    pub async fn open(sender: &mut Sender) -> Result<Self, SessionError> {
        let (out, queue) = mpsc::channel(QUEUE);
        let lanes = Lane::ALL.iter().map(|lane| sender.lanes[*lane].claim()).collect();
        let open = Open { epoch: sender.log.streams().epoch, lanes };
        send(&out, publish_request::Message::Open(open))?;
        let link = &sender.link;
        let mut written = false;
        let opening = async {
            let mut client =
                EdgeServiceClient::new(link.connect().await?).max_encoding_message_size(MAX_MESSAGE);
            written = true;
            let mut inbound = client.publish(ReceiverStream::new(queue)).await?.into_inner();
            let first = inbound.message().await?.ok_or(SessionError::Closed)?;
            Ok((inbound, first))
        };
        let answer = tokio::time::timeout(OPEN_TIMEOUT, opening).await.unwrap_or(Err(SessionError::Silent));
        if written && answer.is_err() {
            sender.opens.given_up(Instant::now());
        }
        let (inbound, first) = answer?;
        let ack = match first.message {
            Some(publish_response::Message::OpenAck(ack)) => ack,
            Some(publish_response::Message::Refusal(refusal)) => {
                return Err(match refusal.kind() {
                    refusal::Kind::Fenced => SessionError::Replaced(refusal.detail),
                    _ => SessionError::Unavailable(refusal.detail),
                });
            }
            _ => return Err(SessionError::Protocol("an open_ack was expected")),
        };
        sender.opens.answered(Instant::now());
        settle(sender, &ack)?;
        Ok(Self { number: ack.session, out, inbound, heard: Instant::now(), order: Order::default() })
    }

    /// Sends and listens until the session ends, or until all is sent while the node drains.
    pub async fn run(&mut self, sender: &mut Sender) -> Result<(), SessionError> {
        let mut log_end = sender.log.end();
        let mut phase = sender.phase.clone();
        loop {
            log_end.mark_unchanged();
            let draining = *phase.borrow_and_update() != Phase::Running;
            let again = self.pump(sender, draining)?;
            if draining && Lane::ALL.iter().all(|lane| sender.lanes[*lane].is_drained()) {
                return Ok(());
            }
            let busy = Lane::ALL.iter().any(|lane| sender.lanes[*lane].in_flight() > 0);
            if !busy {
                self.heard = Instant::now();
            }
            let largest = Lane::ALL.iter().map(|lane| sender.lanes[*lane].largest_in_flight()).max();
            let patience = patience(largest.unwrap_or_default());
            let silence = patience.saturating_sub(self.heard.elapsed());
            tokio::select! {
                // Whatever ends the wait, all is looked at; in order, so that a run can be repeated.
                biased;
                message = self.inbound.message() => {
                    let message = message?.and_then(|message| message.message).ok_or(SessionError::Closed)?;
                    self.heard = Instant::now();
                    receive(sender, &mut self.order, message)?;
                }
                _ = log_end.changed() => {}
                _ = phase.changed() => {}
                () = tokio::time::sleep(again.unwrap_or(silence).min(silence)) => {
                    if busy && self.heard.elapsed() >= patience {
                        return Err(SessionError::Silent);
                    }
                }
            }
        }
    }

    /// Seals and sends what can be; money first. Says after how long to look again.
    fn pump(&mut self, sender: &mut Sender, draining: bool) -> Result<Option<Duration>, SessionError> {
        let mut again: Option<Duration> = None;
        for lane in Lane::ALL.iter().copied() {
            let wait = match sender.lanes[lane].try_again(Instant::now()) {
                Some(wait) => Some(wait),
                // What halts it now says when to look again.
                None => {
                    self.work(sender, lane, draining)?.or_else(|| sender.lanes[lane].due_in(Instant::now()))
                }
            };
            again = match (again, wait) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(again)
    }

    fn work(
        &mut self,
        sender: &mut Sender,
        lane: Lane,
        draining: bool,
    ) -> Result<Option<Duration>, SessionError> {
        if let Some(wait) = settle_lane(sender, lane) {
            return Ok(Some(wait));
        }
        // What was refused is not ours to send: without this the lane would wait for hits, and take none, for ever.
        if sender.lanes[lane].is_confirmed() {
            sender.acquit(lane);
        }
        while sender.lanes[lane].sends() {
            match self.step(sender, lane, draining)? {
                Decision::Seal => {}
                Decision::Wait(wait) => return Ok(Some(wait)),
                Decision::Idle => break,
            }
        }
        Ok(None)
    }

    /// One batch of one lane. `Seal` = go on.
    fn step(&mut self, sender: &mut Sender, lane: Lane, draining: bool) -> Result<Decision, SessionError> {
        let worked = self.send_sealed(sender, lane)?;
        if let Some(wait) = worked {
            return Ok(wait);
        }
        let now = Instant::now();
        if let Err(error) = sender.lanes[lane].fill(now) {
            return Ok(sender.trouble(lane, error).map_or(Decision::Idle, Decision::Wait));
        }
        if sender.lanes[lane].take_loss() {
            sender.lost(lane);
        }
        let decision = sender.lanes[lane].decide(now, draining);
        if decision == Decision::Seal {
            let key = sender.link.identity().batch_key.clone();
            if let Err(error) = sender.lanes[lane].seal(&key, now_secs()) {
                return Ok(sender.trouble(lane, error).map_or(Decision::Idle, Decision::Wait));
            }
            sender.sealed();
        }
        Ok(decision)
    }

    /// Sends sealed batches up to the window. `Some` = trouble, look again then.
    fn send_sealed(&mut self, sender: &mut Sender, lane: Lane) -> Result<Option<Decision>, SessionError> {
        loop {
            match sender.lanes[lane].next_to_send(Instant::now()) {
                Ok(Some((outgoing, last))) => {
                    self.order.sent(lane, last);
                    let message = match outgoing {
                        Outgoing::Batch(batch) => {
                            publish_request::Message::Batch(batch.to_message(self.number))
                        }
                        Outgoing::Gap(gap) => publish_request::Message::Gap(sender.declare(gap, self.number)),
                    };
                    send(&self.out, message)?;
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    return Ok(Some(sender.trouble(lane, error).map_or(Decision::Idle, Decision::Wait)));
                }
            }
        }
    }
}

/// Batches arrive one after another, and each is answered: between two answers lies one batch at most.
fn patience(largest: u64) -> Duration {
    SILENCE + Duration::from_secs(largest.div_ceil(SLOWEST_BYTES_PER_SEC))
}

fn send(out: &mpsc::Sender<PublishRequest>, message: publish_request::Message) -> Result<(), SessionError> {
    out.try_send(PublishRequest { message: Some(message) }).map_err(|_| SessionError::Closed)
}

/// Compares where both ends stand, lane by lane.
fn settle(sender: &mut Sender, ack: &OpenAck) -> Result<(), SessionError> {
    for lane in Lane::ALL.iter().copied() {
        sender.lanes[lane].begin_session();
        if !sender.lanes[lane].sends() {
            continue;
        }
        let head = ack.heads.iter().find(|head| lane_from_wire(head.lane) == Ok(lane));
        let head = head.ok_or(SessionError::Protocol("the open_ack leaves out a lane"))?;
        let theirs = match head.last_ordinal {
            0 => Head::GENESIS,
            last => {
                let hash = head.head_hash.as_slice().try_into();
                Head { last, hash: hash.map_err(|_| SessionError::Protocol("a head hash has 32 bytes"))? }
            }
        };
        sender.lanes[lane].meet(head.stream, theirs);
        settle_lane(sender, lane);
    }
    Ok(())
}

/// Says after how long to do so again, where the disk cannot be read just now.
fn settle_lane(sender: &mut Sender, lane: Lane) -> Option<Duration> {
    let next = sender.spool.status().next[lane];
    match sender.lanes[lane].settle(next, Instant::now()) {
        Ok(wait) => wait,
        Err(error) => sender.trouble(lane, error),
    }
}

fn receive(
    sender: &mut Sender,
    order: &mut Order,
    message: publish_response::Message,
) -> Result<(), SessionError> {
    match message {
        publish_response::Message::Ack(ack) => acknowledged(sender, order, &ack),
        publish_response::Message::Refusal(refusal) => {
            let lane = match lane_from_wire(refusal.lane) {
                Ok(lane) => {
                    order.refused(lane);
                    Some(lane)
                }
                // What cannot be read does not say whose it is.
                Err(_) if refusal.kind() == refusal::Kind::Invalid => order.refused_unnamed(),
                Err(_) => None,
            };
            refused(sender, lane, refusal)
        }
        publish_response::Message::OpenAck(_) => Err(SessionError::Protocol("a second open_ack")),
    }
}

/// Only a signed statement makes the node forget anything.
fn acknowledged(sender: &mut Sender, order: &mut Order, ack: &Ack) -> Result<(), SessionError> {
    let identity = sender.link.identity();
    let epoch = sender.log.streams().epoch;
    let statement = AckStatement::verify(&identity.control_key, identity.edge, epoch, ack)?;
    let head = Head { last: statement.last_ordinal, hash: statement.head_hash };
    order.acknowledged(statement.lane, head.last);
    // Until now nothing has fenced this session: what is given up long before now will not.
    sender.opens.answered(Instant::now());
    match sender.lanes[statement.lane].ack(head) {
        Acked::Through(head) => sender.acked(statement.lane, head),
        Acked::Known => {}
        Acked::Diverged => sender.halt(statement.lane, &Halt::Diverged),
        Acked::Ahead => return Err(SessionError::Protocol("it acknowledges what was not sent")),
    }
    Ok(())
}

fn refused(sender: &mut Sender, lane: Option<Lane>, refusal: Refusal) -> Result<(), SessionError> {
    match (refusal.kind(), lane) {
        (refusal::Kind::Fenced, _) => Err(SessionError::Fenced(refusal.detail)),
        // What was under way behind a batch that was refused is a gap to the control plane.
        (refusal::Kind::Gap, Some(lane)) if !sender.lanes[lane].sends() => Ok(()),
        (refusal::Kind::Gap, Some(lane)) => match sender.lanes[lane].gap(refusal.expected_ordinal) {
            Gap::Rewind(expected) => {
                tracing::warn!(
                    lane = lane.as_str(),
                    expected,
                    "the control plane misses batches; sending them again"
                );
                Ok(())
            }
            Gap::Echo => Ok(()),
            Gap::Confused => Err(SessionError::Protocol("it refuses what it has asked for")),
        },
        (refusal::Kind::Quarantined | refusal::Kind::Invalid, Some(lane)) => {
            sender.halt(lane, &Halt::Refused(refusal.detail));
            Ok(())
        }
        // Kinds of a newer control plane, too: nothing is lost by trying again later.
        _ => Err(SessionError::Unavailable(refusal.detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_link_is_given_the_time_for_one_batch() {
        let cases = [(0, 30), (1, 31), (4096, 31), (1 << 20, 30 + 256)];
        for (largest, secs) in cases {
            assert_eq!(patience(largest), Duration::from_secs(secs), "{largest}");
        }
    }
}
