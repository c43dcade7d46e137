//! What this node has applied: the state, the event log, and how far both are.
//!
//! ```text
//! Raft log --apply--> memory: state, newest events --(flushed in the Raft log)--> rows on disk
//! ```
//!
//! Memory runs ahead of the disk, never the reverse: openraft applies entries that a majority has
//! and this node's own disk may not have yet. Such an entry is answered and can be read at once; its
//! rows are written, by one thread and in order, only after this node's Raft log holds it durably.
//! Lost rows come back from the log, because the log is purged only up to what was synced here.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use meridian_domain::{Digest, EventRecord, Revision, State};
use meridian_ports::{History, HistoryError, Progress};
use openraft::alias::{LogIdOf, StoredMembershipOf};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::disk::database::Database;
use crate::event_log::EventLog;
use crate::fuse::Fuse;
use crate::raft::TypeConfig;
use crate::rows;
use crate::rows::position::Position;

mod durability;
mod error;
pub(crate) mod incoming;
mod load;
mod open;
mod reading;
mod verify;
pub(crate) mod writer;

pub use error::OpenError;
pub use verify::LogGap;
use writer::Job;

/// What this node has applied. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) core: Arc<Core>,
    pub(crate) jobs: mpsc::Sender<Job>,
}

/// What the handles, the state machine and the writer share.
pub(crate) struct Core {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) fuse: Fuse,
    /// Locked before `tail` where both are.
    state: RwLock<State>,
    tail: Mutex<Tail>,
    /// The last log index that is durable in this node's Raft log.
    flushed: watch::Receiver<Option<u64>>,
    pub(crate) synced_index: Arc<AtomicU64>,
    latest: watch::Sender<Revision>,
    durable: watch::Sender<Revision>,
    applied: watch::Sender<u64>,
    /// The next number for an epoch or a history.
    pub(crate) next_number: AtomicU64,
    /// One snapshot is received at a time.
    pub(crate) staging: Arc<Semaphore>,
    closing: CancellationToken,
}

/// How far the state is, and the end of the event log.
pub(crate) struct Tail {
    pub(crate) log: EventLog,
    pub(crate) applied: Option<LogIdOf<TypeConfig>>,
    pub(crate) membership: StoredMembershipOf<TypeConfig>,
    pub(crate) epoch: u64,
    pub(crate) installed: Option<u64>,
    /// Behind this revision, events stand for the outcomes of their changes.
    pub(crate) told_after: Revision,
    /// Ranges that are applied and not durable in the Raft log: their last index and revision.
    pub(crate) unflushed: std::collections::VecDeque<(u64, Revision)>,
    /// The digest of the state, while it is known.
    pub(crate) digest: Option<Digest>,
}

impl Tail {
    /// What rows that hold exactly this are of.
    pub(crate) fn position(&self, state: &State) -> Position {
        Position {
            epoch: self.epoch,
            history: self.log.history,
            applied: self.applied.map(Into::into),
            installed: self.installed,
            revision: self.log.revision,
            chain: self.log.chain,
            rows: rows::count(state),
            told_after: self.told_after,
        }
    }
}

impl Core {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nothing panics while it changes the state")
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("nothing panics while it changes the state")
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("nothing panics while it holds the tail")
    }

    /// All that is applied. Nothing more is while the state is borrowed.
    fn progress(&self) -> Progress {
        let state = self.state();
        let known = self.tail().digest;
        let digest = known.unwrap_or_else(|| rows::digest(&state));
        let mut tail = self.tail();
        tail.digest = Some(digest);
        Progress {
            revision: tail.log.revision,
            applied: tail.applied.map_or(0, |applied| applied.index),
            state: digest,
            events: tail.log.chain,
        }
    }

    /// Refuses where the node is stopping: nothing is acknowledged any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.fuse.cause() {
            None => Ok(()),
            Some(cause) => Err(io::Error::other(format!("this node is stopping: {cause}"))),
        }
    }

    /// The error of whoever finds that the writer has ended.
    pub(crate) fn stopped(&self) -> io::Error {
        if self.closing.is_cancelled() {
            return io::Error::other("the derived store is closed");
        }
        // Without a cause it ended by a panic, or the Raft log has ended before it: either way,
        // nothing would be written any more.
        self.fuse.blow("the derived store is not written any more: its writer or the log ended");
        let cause = self.fuse.cause().unwrap_or_default();
        io::Error::other(format!("this node is stopping: {cause}"))
    }

    /// Stops the node because of a storage error, which is returned.
    pub(crate) fn fail(&self, doing: &str, error: impl Into<io::Error>) -> io::Error {
        let error = error.into();
        self.fuse.blow(format_args!("{doing}: {}", with_causes(&error)));
        error
    }

    /// Stops the node because of events that are not what was written.
    pub(crate) fn damaged(&self, error: impl Into<io::Error>) -> io::Error {
        let place = self.database.place();
        let what = format!(
            "the event log in {place} is damaged; wipe the data directory and join as a new node"
        );
        self.fail(&what, error)
    }

    /// Tells everybody how far the state and the event log are.
    pub(crate) fn publish(&self) {
        let (index, revision) = {
            let tail = self.tail();
            (tail.applied.map(|applied| applied.index), tail.log.revision)
        };
        self.publish_durable();
        raise(&self.latest, revision);
        if let Some(index) = index {
            raise(&self.applied, index);
            metrics::gauge!("meridian_applied_log_index").set(index as f64);
        }
    }
}

/// Announces `value` unless something later was announced.
fn raise<T: PartialOrd>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|present| {
        let later = value > *present;
        if later {
            *present = value;
        }
        later
    });
}

/// The error with its causes, in one line.
fn with_causes(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.get_ref().and_then(std::error::Error::source);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

impl Store {
    /// The state as applied on this node. Hold it briefly and never across an await: applying waits
    /// for it.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.core.state()
    }

    /// Up to `limit` events from `from` on, in order, as far as they are applied.
    ///
    /// # Errors
    /// If they were trimmed or cannot be read.
    pub fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError> {
        self.core.events(from, limit)
    }

    /// The stored records of the events from `from` to `through`, as far as one message takes them
    /// (at least one, if there is one). For snapshots: other than [`Store::events`], it also reads
    /// trimmed events whose segment is still there.
    ///
    /// # Errors
    /// If they are gone or cannot be read.
    pub fn stored_events(
        &self,
        from: Revision,
        through: Revision,
    ) -> Result<Vec<Bytes>, HistoryError> {
        self.core.stored_events(from, through)
    }

    /// Announces the newest revision that can be read.
    #[must_use]
    pub fn latest(&self) -> watch::Receiver<Revision> {
        self.core.latest.subscribe()
    }

    /// Announces the newest revision that is applied and durable in this node's own Raft log.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Revision> {
        self.core.durable.subscribe()
    }

    /// Announces the last log index that is applied; 0 also before the first.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.core.applied.subscribe()
    }

    /// The newest revision and the hash over all events up to it.
    #[must_use]
    pub fn chain(&self) -> (Revision, Digest) {
        let tail = self.core.tail();
        (tail.log.revision, tail.log.chain)
    }

    /// The newest revision and SHA-256 over the whole state, outcomes included: equal on all nodes
    /// that have applied the same entries. Computed when the state has changed since it was last
    /// asked for; applying waits meanwhile.
    #[must_use]
    pub fn position(&self) -> (Revision, Digest) {
        let Progress { revision, state, .. } = self.core.progress();
        (revision, state)
    }

    /// All that is applied, at one moment. Computed as [`position`](Self::position) is, on a thread that
    /// may take long: hashing a full state takes tens of milliseconds, in which others are to be
    /// answered.
    pub async fn progress(&self) -> Progress {
        let core = self.core.clone();
        let hashed = tokio::task::spawn_blocking(move || core.progress()).await;
        hashed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// The last log index whose rows were synced: the Raft log must not be purged beyond it.
    #[must_use]
    pub fn synced_index(&self) -> Arc<AtomicU64> {
        self.core.synced_index.clone()
    }

    /// Writes and syncs all that the Raft log holds durably, and ends the writer. What the log does
    /// not hold yet is not waited for: it comes back from the log, so close the log first.
    ///
    /// # Errors
    /// If that could not be done.
    pub async fn close(&self) -> io::Result<()> {
        self.core.closing.cancel();
        self.request(|reply| Job::Close { reply }).await
    }

    /// Has the writer do something, and waits for it.
    pub(crate) async fn request(
        &self,
        job: impl FnOnce(oneshot::Sender<()>) -> Job,
    ) -> io::Result<()> {
        self.core.check()?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| self.core.stopped())?;
        answer.await.map_err(|_| self.core.stopped())
    }

    /// The next unused number for an epoch or a history.
    pub(crate) fn next_number(&self) -> u64 {
        self.core.next_number.fetch_add(1, Ordering::Relaxed)
    }
}

impl History for Store {
    fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError> {
        Self::events(self, from, limit)
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        Self::latest(self)
    }

    fn chain(&self) -> (Revision, Digest) {
        Self::chain(self)
    }
}

/// Describes the metrics of the derived store: name, unit and meaning.
pub fn describe_metrics() {
    use metrics::Unit;
    metrics::describe_gauge!(
        "meridian_applied_log_index",
        Unit::Count,
        "Index of the last Raft log entry that is applied to the state."
    );
    metrics::describe_histogram!(
        "meridian_apply_duration_seconds",
        Unit::Seconds,
        "Time to apply a range of log entries in memory."
    );
    metrics::describe_gauge!(
        "meridian_derived_backlog_ranges",
        Unit::Count,
        "Applied ranges whose rows are not yet written to the derived store."
    );
}
