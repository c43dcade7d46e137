//! The sequencer's loop: one round per term of leadership, and within it one entry after another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian_domain::{Entry, State, Verdict};
use meridian_storage::codec;
use meridian_storage::fuse::Fuse;
use meridian_storage::planted::{Bug, planted};
use meridian_storage::raft::{LeaderId, Payload, write_channel};
use meridian_storage::store::Store;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::Batch;
use super::in_flight::{Flight, InFlight, answer_all, not_proposed, unknown};
use super::waiting::{Answer, Waiting};
use crate::environment::Clock;
use crate::instance::Raft;

/// Entries in flight. The second overlaps its deciding and encoding with the first one's way to a
/// majority; a third gains nothing measurable.
const IN_FLIGHT: usize = 2;
/// Commands that a second entry waits for. Every entry costs each node a message and a sync, so few
/// commands are better off in one entry together with those that come while the first is on its way.
const WORTH_AN_ENTRY: usize = 64;
/// How long it waits for them at most: where the first takes longer, its way is across regions, and to
/// wait for its end would double the time that a change takes.
const LINGER: Duration = Duration::from_millis(10);
/// Commands that are taken from the queue and not decided yet.
const WAITING: usize = 1_024;
/// How long the barrier of a new leader may take before it is tried again.
const BARRIER: Duration = Duration::from_secs(2);

/// Serves the queue for as long as the node lives.
///
/// `clock` is the clock of the cluster while this node leads: the only place where time enters the log.
pub async fn run(
    raft: Raft,
    store: Store,
    fuse: Fuse,
    clock: Clock,
    mut queue: mpsc::Receiver<Waiting>,
) {
    let mut metrics = raft.server_metrics();
    loop {
        if fuse.cause().is_some() {
            return;
        }
        match begin(&raft, &store).await {
            Some((leader, state)) => {
                let mut term = Term::new(&raft, &clock, leader, state);
                if term.serve(&mut queue, &fuse).await.is_none() {
                    return;
                }
            }
            None => {
                tokio::select! {
                    waiting = queue.recv() => match waiting {
                        Some(waiting) => drop(waiting.answer.send(Answer::NotLeader)),
                        None => return,
                    },
                    changed = metrics.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}

/// If this node leads: its term, and the state once everything committed before is applied.
async fn begin(raft: &Raft, store: &Store) -> Option<(LeaderId, Arc<State>)> {
    let leader = raft.as_leader().ok()?.to_committed_leader_id();
    let barrier = raft.ensure_linearizable(ReadPolicy::ReadIndex);
    match timeout(BARRIER, barrier).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return None,
    }
    let state = Arc::new(store.state().clone());
    let still = raft.as_leader().ok()?.to_committed_leader_id();
    (still == leader).then_some((leader, state))
}

/// One term of leadership.
struct Term<'a> {
    raft: &'a Raft,
    clock: &'a Clock,
    leader: LeaderId,
    /// The state that the entries in flight will leave.
    state: Arc<State>,
    flights: InFlight,
    /// Commands for the next entries.
    waiting: VecDeque<Waiting>,
    /// Whether they are more than went into the last one.
    overflows: bool,
}

impl<'a> Term<'a> {
    fn new(raft: &'a Raft, clock: &'a Clock, leader: LeaderId, state: Arc<State>) -> Self {
        let (flights, waiting) = (InFlight::default(), VecDeque::new());
        Self { raft, clock, leader, state, flights, waiting, overflows: false }
    }

    /// Takes commands until the term ends or an entry fails; none if the queue is closed.
    async fn serve(&mut self, queue: &mut mpsc::Receiver<Waiting>, fuse: &Fuse) -> Option<()> {
        let mut metrics = self.raft.server_metrics();
        loop {
            let (has_room, due) = (self.waiting.len() < WAITING, self.due());
            let goes_on = tokio::select! {
                biased;
                outcome = self.flights.next_outcome() => self.flights.land(outcome),
                changed = metrics.changed() => changed.is_ok() && self.still_leads(),
                waiting = queue.recv(), if has_room => {
                    self.waiting.push_back(waiting?);
                    true
                }
                () = come(due) => true,
            };
            if !goes_on || !self.depart(queue).await || fuse.cause().is_some() {
                self.end().await;
                return Some(());
            }
        }
    }

    /// When the next entry is to depart, as far as that is known.
    fn due(&self) -> Option<Instant> {
        match self.flights.last_departed() {
            _ if self.waiting.is_empty() || self.flights.len() == IN_FLIGHT => None,
            Some(departed) if self.waiting.len() < WORTH_AN_ENTRY && !self.overflows => {
                Some(departed + LINGER)
            }
            _ => Some(Instant::now()),
        }
    }

    fn still_leads(&self) -> bool {
        self.raft.as_leader().is_ok_and(|l| l.to_committed_leader_id() == self.leader)
    }

    /// Makes entries of what waits, and proposes them, while one is due. False if the term is over or
    /// the state is spoiled.
    async fn depart(&mut self, queue: &mut mpsc::Receiver<Waiting>) -> bool {
        while self.due().is_some_and(|due| due <= Instant::now()) {
            let state = Arc::make_mut(&mut self.state);
            let mut batch = Batch::new(state, self.clock.now());
            self.overflows = false;
            while let Some(next) = self.waiting.pop_front().or_else(|| queue.try_recv().ok()) {
                match batch.add(state, next) {
                    Ok(None) => {}
                    Ok(Some(does_not_fit)) => {
                        self.waiting.push_front(does_not_fit);
                        self.overflows = true;
                        break;
                    }
                    Err(spoiled) => {
                        tracing::error!(?spoiled, "deciding panicked; the term begins anew");
                        answer_all(batch.waiting, not_proposed);
                        return false;
                    }
                }
            }
            if !self.fly(batch).await {
                return false;
            }
        }
        true
    }

    async fn fly(&mut self, batch: Batch) -> bool {
        let Batch { entry, waiting, .. } = batch;
        if entry.changes.is_empty() {
            self.flights.answer_after(waiting);
            return true;
        }
        metrics::counter!("meridian_proposals_total").increment(1);
        metrics::histogram!("meridian_proposal_changes").record(waiting.len() as f64);
        let departed = Instant::now();
        let (responder, outcome) = write_channel();
        let payload = Payload(Bytes::from(codec::encode::<Entry>(&entry)));
        let write = self.raft.write(payload).with_leader(self.leader).responder(responder);
        if write.await.is_err() {
            answer_all(waiting, unknown);
            return false;
        }
        let (early, waiting) = waiting.into_iter().partition(|(_, receipt)| {
            planted(Bug::AcknowledgeBeforeCommit)
                || planted(Bug::AnswerRejectionsFromSpeculation)
                    && receipt.verdict != Verdict::Accepted
        });
        answer_all(early, Answer::Receipt);
        self.flights.push(Flight { departed, outcome, waiting });
        true
    }

    /// Answers everyone who still waits. While this node leads on, the entries in flight land first:
    /// what is decided next must be decided with their outcomes.
    async fn end(&mut self) {
        while self.still_leads() && !self.flights.is_empty() {
            let outcome = self.flights.next_outcome().await;
            self.flights.land(outcome);
        }
        for waiting in self.waiting.drain(..) {
            let _ = waiting.answer.send(Answer::NotLeader);
        }
        self.flights.doubt();
    }
}

/// Returns at `due`; never, where that is not known.
async fn come(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
