//! Main loop of the sequencer. Each iteration serves one term of leadership.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian_domain::{Entry, State, Verdict};
use meridian_storage::codec;
use meridian_storage::fuse::Fuse;
use meridian_storage::planted::{Bug, planted};
use meridian_storage::raft::{LeaderId, Payload, TypeConfig, write_channel};
use meridian_storage::store::Store;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::RaftMetrics;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::Batch;
use super::in_flight::{InFlight, InFlightEntry, not_leader, reply_all, unknown};
use super::pending::{PendingCommand, Reply};
use crate::cluster_clock::ClusterClock;
use crate::instance::Raft;
use crate::suspension::Suspension;

/// Maximum number of entries in flight. Deciding and encoding the second overlaps with replicating
/// the first; a third gains nothing measurable.
const MAX_IN_FLIGHT: usize = 2;
/// Number of pending commands at which a second entry is proposed without lingering. Every entry
/// requires a message and an fsync on each node, so fewer commands are better batched with those
/// that arrive while the first entry is in flight.
const MIN_BATCH: usize = 64;
/// Maximum time that a smaller batch waits after the first entry was proposed. A first entry that
/// takes longer replicates across regions; waiting until it completes would double the latency of a
/// change.
const LINGER: Duration = Duration::from_millis(10);
/// Maximum number of commands that are taken from the queue and not decided yet.
const MAX_PENDING: usize = 1_024;
/// Timeout of the barrier of a new leader, after which the barrier is retried.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum time that a new leader waits for the clocks of the other voters, if it does not know them
/// all yet.
const CLOCKS_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the queue until it is closed, Raft stops or the fuse blows.
///
/// `clock` is the only place where time enters the log. While the node is suspended, no term begins
/// and none continues.
pub async fn run(
    raft: Raft,
    store: Store,
    fuse: Fuse,
    suspension: Suspension,
    clock: ClusterClock,
    mut queue: mpsc::Receiver<PendingCommand>,
) {
    let mut metrics = raft.server_metrics();
    loop {
        if fuse.cause().is_some() {
            return;
        }
        let suspended = suspension.is_active();
        let begun = if suspended { None } else { begin_term(&raft, &store, &clock).await };
        match begun {
            Some((leader, state)) => {
                let mut term = Term::new(&raft, &clock, leader, state);
                if term.serve(&mut queue, &fuse, &suspension).await.is_none() {
                    return;
                }
            }
            None => {
                tokio::select! {
                    pending = queue.recv() => match pending {
                        Some(pending) => drop(pending.reply.send(Reply::NotLeader)),
                        None => return,
                    },
                    changed = metrics.changed() => if changed.is_err() { return },
                    () = suspension.ended(), if suspended => {}
                }
            }
        }
    }
}

/// Returns the term and the state if this node leads, once everything committed before is applied.
///
/// The barrier is the first entry of the term: it is committed by a majority that follows this
/// leader, and applied after everything committed before. A linearizable read would need another
/// round trip and prove no more, because the entries proposed in this term fail without a majority.
async fn begin_term(
    raft: &Raft,
    store: &Store,
    clock: &ClusterClock,
) -> Option<(LeaderId, Arc<State>)> {
    let leader = raft.as_leader().ok()?.to_committed_leader_id();
    let begun = |metrics: &RaftMetrics<TypeConfig>| {
        let applied = metrics.last_applied.as_ref();
        applied.is_some_and(|applied| *applied.committed_leader_id() == leader)
            || metrics.state != ServerState::Leader
    };
    let wait = raft.wait(Some(BARRIER_TIMEOUT));
    let barrier = wait.metrics(begun, "the term has begun");
    let (begun, _) = tokio::join!(barrier, timeout(CLOCKS_TIMEOUT, clock.learn()));
    begun.ok()?;
    let state = Arc::new(store.state().clone());
    let current = raft.as_leader().ok()?.to_committed_leader_id();
    (current == leader).then_some((leader, state))
}

/// One term of leadership.
struct Term<'a> {
    raft: &'a Raft,
    clock: &'a ClusterClock,
    leader: LeaderId,
    /// State that the entries in flight will produce.
    state: Arc<State>,
    in_flight: InFlight,
    /// Commands for the next entries.
    pending: VecDeque<PendingCommand>,
    /// Set when the last entry was full and commands were left over.
    overflowed: bool,
}

impl<'a> Term<'a> {
    fn new(raft: &'a Raft, clock: &'a ClusterClock, leader: LeaderId, state: Arc<State>) -> Self {
        let (in_flight, pending) = (InFlight::default(), VecDeque::new());
        Self { raft, clock, leader, state, in_flight, pending, overflowed: false }
    }

    /// Serves commands until the term is over or an entry fails. Returns `None` if the queue is
    /// closed.
    async fn serve(
        &mut self,
        queue: &mut mpsc::Receiver<PendingCommand>,
        fuse: &Fuse,
        suspension: &Suspension,
    ) -> Option<()> {
        let mut metrics = self.raft.server_metrics();
        let mut suspended = pin!(suspension.begun());
        loop {
            let (has_capacity, due) = (self.pending.len() < MAX_PENDING, self.next_proposal_at());
            let continues = tokio::select! {
                biased;
                _ = &mut suspended => false,
                outcome = self.in_flight.next_outcome() => self.in_flight.complete_oldest(outcome),
                changed = metrics.changed() => changed.is_ok() && self.still_leads(),
                pending = queue.recv(), if has_capacity => {
                    self.pending.push_back(pending?);
                    true
                }
                () = sleep_until_due(due) => true,
            };
            if !continues || !self.propose_due(queue).await || fuse.cause().is_some() {
                self.end().await;
                return Some(());
            }
        }
    }

    /// Returns the time at which the next entry is due; `None` if it depends on a new command or an
    /// outcome.
    fn next_proposal_at(&self) -> Option<Instant> {
        match self.in_flight.last_proposed_at() {
            _ if self.pending.is_empty() || self.in_flight.len() == MAX_IN_FLIGHT => None,
            Some(proposed_at) if self.pending.len() < MIN_BATCH && !self.overflowed => {
                Some(proposed_at + LINGER)
            }
            _ => Some(Instant::now()),
        }
    }

    /// Returns true if this term is not over. Reads the metrics whose changes are awaited: openraft
    /// publishes the others later.
    fn still_leads(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let vote = &metrics.borrow_watched().vote;
        vote.committed && vote.leader_id == self.leader
    }

    /// Batches pending commands and proposes the entries that are due. Returns false if the term is
    /// over or the state is poisoned.
    async fn propose_due(&mut self, queue: &mut mpsc::Receiver<PendingCommand>) -> bool {
        while self.next_proposal_at().is_some_and(|due| due <= Instant::now()) {
            let state = Arc::make_mut(&mut self.state);
            let mut batch = Batch::new(state, self.clock.now());
            self.overflowed = false;
            while let Some(next) = self.pending.pop_front().or_else(|| queue.try_recv().ok()) {
                match batch.add(state, next) {
                    Ok(None) => {}
                    Ok(Some(does_not_fit)) => {
                        self.pending.push_front(does_not_fit);
                        self.overflowed = true;
                        break;
                    }
                    Err(error) => {
                        tracing::error!(
                            ?error,
                            "deciding a command panicked; restarting at the barrier"
                        );
                        reply_all(batch.waiters, not_leader);
                        return false;
                    }
                }
            }
            if !self.propose(batch).await {
                return false;
            }
        }
        true
    }

    async fn propose(&mut self, batch: Batch) -> bool {
        let is_empty = batch.is_empty();
        let Batch { entry, waiters, .. } = batch;
        if is_empty {
            self.in_flight.reply_after_newest(waiters);
            return true;
        }
        metrics::counter!("meridian_proposals_total").increment(1);
        metrics::histogram!("meridian_proposal_changes").record(waiters.len() as f64);
        let proposed_at = Instant::now();
        let (responder, outcome) = write_channel();
        let payload = Payload(Bytes::from(codec::encode::<Entry>(&entry)));
        let write = self.raft.write(payload).with_leader(self.leader).responder(responder);
        if write.await.is_err() {
            reply_all(waiters, unknown);
            return false;
        }
        let (early, waiters) = waiters.into_iter().partition(|(_, receipt)| {
            planted(Bug::AcknowledgeBeforeCommit)
                || planted(Bug::AnswerRejectionsFromSpeculation)
                    && receipt.verdict != Verdict::Accepted
        });
        reply_all(early, Reply::Receipt);
        self.in_flight.push(InFlightEntry { proposed_at, outcome, waiters });
        true
    }

    /// Replies to all waiters. While this node still leads, waits for the entries in flight first:
    /// later commands must be decided against their outcomes.
    async fn end(&mut self) {
        let mut metrics = self.raft.server_metrics();
        while self.still_leads() && !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                outcome = self.in_flight.next_outcome() => {
                    self.in_flight.complete_oldest(outcome);
                }
                // After the term, an outcome may take until a new leader is elected.
                changed = metrics.changed() => if changed.is_err() { break },
            }
        }
        for pending in self.pending.drain(..) {
            let _ = pending.reply.send(Reply::NotLeader);
        }
        self.in_flight.fail_unknown();
    }
}

/// Sleeps until `due`; forever if it is `None`.
async fn sleep_until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
