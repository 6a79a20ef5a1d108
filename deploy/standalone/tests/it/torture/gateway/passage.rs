//! One Publish stream through the gateway: batches up, answers down, and what befalls them.

use super::{Fate, Mischief, Orders, Shared};
use proto_model::{EdgeId, Lane};
use proto_wire::convert::lane_from_wire;
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::{Batch, PublishRequest, PublishResponse, refusal};
use proto_wire::envelope::Header;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Status, Streaming};

/// Without a neighbour that could go first, a batch waits for it no longer than this.
const NEIGHBOUR: Duration = Duration::from_millis(400);
const FOR_EVER: Duration = Duration::from_secs(3600);

pub struct Passage {
    shared: Arc<Shared>,
    edge: EdgeId,
    up: mpsc::Sender<PublishRequest>,
    down: mpsc::Sender<Result<PublishResponse, Status>>,
    orders: watch::Receiver<Orders>,
    session: u64,
    /// The last batch that went through.
    last: Option<Batch>,
    swapping: Option<(Lane, Batch)>,
    kept_back: Vec<Batch>,
    silent: bool,
    /// Something was lost or is stuck: once the mischief is over, only a new session helps.
    spoilt: bool,
    breaks_at: Instant,
    swaps_until: Instant,
}

/// A session that the control plane does not know to be over.
pub struct Late {
    up: mpsc::Sender<PublishRequest>,
    replies: Streaming<PublishResponse>,
    edge: EdgeId,
    batch: Batch,
}

struct Over;

impl Passage {
    pub fn new(
        shared: Arc<Shared>,
        edge: EdgeId,
        up: mpsc::Sender<PublishRequest>,
        down: mpsc::Sender<Result<PublishResponse, Status>>,
    ) -> Self {
        let (orders, far) = (shared.orders.subscribe(), Instant::now() + FOR_EVER);
        let mut passage = Self {
            shared,
            edge,
            up,
            down,
            orders,
            session: 0,
            last: None,
            swapping: None,
            kept_back: Vec::new(),
            silent: false,
            spoilt: false,
            breaks_at: far,
            swaps_until: far,
        };
        passage.take_orders();
        passage
    }

    pub async fn run(
        mut self,
        mut requests: Streaming<PublishRequest>,
        mut replies: Streaming<PublishResponse>,
    ) {
        while self.step(&mut requests, &mut replies).await.is_ok() {}
        if self.mischief().speaks_late
            && let Some(batch) = self.last.take()
        {
            let late = Late { up: self.up, replies, edge: self.edge, batch };
            self.shared.seen().late.push(late);
        }
    }

    async fn step(
        &mut self,
        requests: &mut Streaming<PublishRequest>,
        replies: &mut Streaming<PublishResponse>,
    ) -> Result<(), Over> {
        tokio::select! {
            request = requests.message(), if !self.silent => match request {
                Ok(Some(request)) => self.ascend(request).await,
                Ok(None) | Err(_) => Err(Over),
            },
            reply = replies.message(), if !self.silent => match reply {
                Ok(Some(reply)) => self.descend(reply).await,
                Ok(None) => Err(Over),
                Err(status) => {
                    let _ = self.down.send(Err(status)).await;
                    Err(Over)
                }
            },
            // The edge has given it up.
            () = self.down.closed() => Err(Over),
            () = tokio::time::sleep_until(self.breaks_at) => Err(Over),
            () = tokio::time::sleep_until(self.swaps_until) => self.go_alone().await,
            changed = self.orders.changed() => {
                changed.map_err(|_| Over)?;
                self.take_orders();
                if self.mischief().batches.is_empty() { self.let_go().await } else { Ok(()) }
            }
        }
    }

    /// Nothing, unless this edge is meant.
    fn mischief(&self) -> Mischief {
        let orders = *self.orders.borrow();
        let meant = orders.edge.is_none_or(|edge| edge == self.edge);
        if meant { orders.mischief } else { Mischief::NONE }
    }

    fn take_orders(&mut self) {
        self.orders.mark_unchanged();
        let length =
            if self.mischief().breaks { self.shared.roll(|dice| dice.moment(200, 1200)) } else { FOR_EVER };
        self.breaks_at = Instant::now() + length;
    }

    /// The mischief is over.
    async fn let_go(&mut self) -> Result<(), Over> {
        if self.spoilt {
            return Err(Over);
        }
        self.go_alone().await?;
        for batch in std::mem::take(&mut self.kept_back) {
            self.send(batch).await?;
        }
        Ok(())
    }

    async fn go_alone(&mut self) -> Result<(), Over> {
        self.swaps_until = Instant::now() + FOR_EVER;
        match self.swapping.take() {
            Some((_, batch)) => self.send(batch).await,
            None => Ok(()),
        }
    }

    fn fate(&self, lane: Lane, of: &[Fate]) -> Option<Fate> {
        let meant = self.orders.borrow().lane.is_none_or(|only| only == lane);
        let is_sure = self.mischief().is_sure;
        if meant { self.shared.roll(|dice| dice.fate(of, is_sure)) } else { None }
    }

    async fn ascend(&mut self, request: PublishRequest) -> Result<(), Over> {
        let batch = match request.message {
            Some(Up::Batch(batch)) => batch,
            other => return self.up.send(PublishRequest { message: other }).await.map_err(|_| Over),
        };
        let lane = Header::claimed_lane(&batch.header).expect("an edge names its lane");
        self.shared.seen().batches.push(batch.clone());
        if let Some((_, first)) = self.swapping.take_if(|(of, _)| *of == lane) {
            self.shared.count(Fate::Swapped);
            self.swaps_until = Instant::now() + FOR_EVER;
            self.send(batch).await?;
            return self.send(first).await;
        }
        let keeps = |kept: &Batch| Header::claimed_lane(&kept.header) == Some(lane);
        if self.kept_back.iter().any(keeps) {
            self.kept_back.push(batch);
            return Ok(());
        }
        let fate = self.fate(lane, self.mischief().batches);
        if let Some(fate) = fate.filter(|fate| *fate != Fate::Swapped) {
            self.shared.count(fate);
        }
        self.meet(fate, lane, batch).await
    }

    async fn meet(&mut self, fate: Option<Fate>, lane: Lane, mut batch: Batch) -> Result<(), Over> {
        match fate {
            Some(Fate::Twice) => self.send(batch.clone()).await?,
            Some(Fate::Swapped) if self.swapping.is_none() => {
                self.swaps_until = Instant::now() + NEIGHBOUR;
                self.swapping = Some((lane, batch));
                return Ok(());
            }
            Some(Fate::Replayed) => {
                let old = self.old_batch();
                self.send(batch).await?;
                return self.send(old).await;
            }
            Some(Fate::Silent) => {
                (self.silent, self.spoilt) = (true, true);
                return Ok(());
            }
            Some(Fate::Slow) => self.dawdle().await,
            Some(Fate::Forged) => flip(&mut batch.signature),
            Some(Fate::Damaged) => flip(&mut batch.payload),
            Some(Fate::KeptBack) => {
                self.kept_back.push(batch);
                return Ok(());
            }
            Some(Fate::Lost | Fate::Swapped) | None => {}
        }
        self.send(batch).await
    }

    /// Of this edge; as it was sealed, in the wrapper of today's session.
    fn old_batch(&self) -> Batch {
        let seen = self.shared.seen();
        let own = |batch: &&Batch| Header::parse(&batch.header).is_ok_and(|header| header.edge == self.edge);
        let own: Vec<&Batch> = seen.batches.iter().filter(own).collect();
        let old = self.shared.roll(|dice| dice.among(&own).copied()).expect("one has just come by");
        Batch { session: self.session, ..old.clone() }
    }

    async fn dawdle(&self) {
        tokio::time::sleep(self.shared.roll(|dice| dice.moment(20, 200))).await;
    }

    async fn send(&mut self, batch: Batch) -> Result<(), Over> {
        self.last = Some(batch.clone());
        let message = Some(Up::Batch(batch));
        self.up.send(PublishRequest { message }).await.map_err(|_| Over)
    }

    async fn descend(&mut self, reply: PublishResponse) -> Result<(), Over> {
        let mut fate = None;
        match &reply.message {
            Some(Down::OpenAck(ack)) => {
                self.session = ack.session;
                self.speak_late();
            }
            Some(Down::Ack(ack)) => {
                let lane = lane_from_wire(ack.lane).expect("the control plane names the lane");
                *self.shared.seen().answered.entry((self.edge, lane.as_str())).or_default() += 1;
                fate = self.fate(lane, self.mischief().answers);
            }
            Some(Down::Refusal(refusal)) if refusal.detail.contains("of another epoch") => {
                self.shared.seen().outdated += 1;
            }
            Some(Down::Refusal(_)) | None => {}
        }
        if let Some(fate) = fate {
            self.shared.count(fate);
        }
        match fate {
            Some(Fate::Lost) => {
                self.spoilt = true;
                return Ok(());
            }
            Some(Fate::Silent) => {
                (self.silent, self.spoilt) = (true, true);
                return Ok(());
            }
            Some(Fate::Twice) => self.tell(reply.clone()).await?,
            Some(Fate::Slow) => self.dawdle().await,
            _ => {}
        }
        self.tell(reply).await
    }

    async fn tell(&self, reply: PublishResponse) -> Result<(), Over> {
        self.down.send(Ok(reply)).await.map_err(|_| Over)
    }

    /// Sessions of this edge before this one say what they had to say.
    fn speak_late(&self) {
        let mut seen = self.shared.seen();
        let (own, others) =
            std::mem::take(&mut seen.late).into_iter().partition(|late| late.edge == self.edge);
        seen.late = others;
        drop(seen);
        let own: Vec<Late> = own;
        for late in own {
            tokio::spawn(late.speak(self.shared.clone()));
        }
    }
}

impl Late {
    async fn speak(self, shared: Arc<Shared>) {
        let Self { up, mut replies, batch, .. } = self;
        let _ = up.send(PublishRequest { message: Some(Up::Batch(batch)) }).await;
        while let Ok(Some(reply)) = replies.message().await {
            // Answers to what it said in its time may be under way.
            if let Some(Down::Refusal(refusal)) = reply.message
                && refusal.kind() == refusal::Kind::Fenced
            {
                shared.seen().fenced += 1;
            }
        }
    }
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}
