//! Derived store: the applied state and the event log of this node.
//!
//! ```text
//! Raft log --apply--> memory: state, newest events --(flushed in the Raft log)--> rows on disk
//! ```
//!
//! Memory is ahead of the disk, never the reverse: openraft applies entries that a majority has but
//! that may not be on this node's own disk yet. The response to such an entry is sent immediately
//! and its changes are readable. One thread writes the rows, in order, and only after this node's
//! Raft log has the entry durably. Lost rows are restored from the log, because the log is purged
//! only up to what was synced here.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use error_reporter::Report;
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

/// Store of the applied state and events. Cheap to clone; clones share one store.
#[derive(Clone)]
pub struct Store {
    pub(crate) core: Arc<Core>,
    pub(crate) jobs: mpsc::Sender<Job>,
}

/// State shared by the handles, the state machine and the writer.
pub(crate) struct Core {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) fuse: Fuse,
    /// Locked before `tail` where both are locked.
    state: RwLock<State>,
    tail: Mutex<Tail>,
    /// Last log index that is durable in this node's Raft log.
    flushed: watch::Receiver<Option<u64>>,
    pub(crate) synced_index: Arc<AtomicU64>,
    latest: watch::Sender<Revision>,
    durable: watch::Sender<Revision>,
    applied: watch::Sender<u64>,
    /// Next unused number of an epoch or a history.
    pub(crate) next_number: AtomicU64,
    /// Limits the number of snapshots that are received at a time to one.
    pub(crate) staging: Arc<Semaphore>,
    closing: CancellationToken,
}

/// Position of the state, and the end of the event log.
pub(crate) struct Tail {
    pub(crate) log: EventLog,
    pub(crate) applied: Option<LogIdOf<TypeConfig>>,
    pub(crate) membership: StoredMembershipOf<TypeConfig>,
    pub(crate) epoch: u64,
    pub(crate) installed: Option<u64>,
    /// Revision above which outcomes are derived from events.
    pub(crate) outcome_watermark: Revision,
    /// Last index and revision of each applied range that is not durable in the Raft log yet.
    pub(crate) unflushed: std::collections::VecDeque<(u64, Revision)>,
    /// Digest of the state; `None` if the state has changed since it was computed.
    pub(crate) digest: Option<Digest>,
}

impl Tail {
    /// Returns the position of rows with exactly this content.
    pub(crate) fn position(&self, state: &State) -> Position {
        Position {
            epoch: self.epoch,
            history: self.log.history,
            applied: self.applied.map(Into::into),
            installed: self.installed,
            revision: self.log.revision,
            chain: self.log.chain,
            rows: rows::count(state),
            outcome_watermark: self.outcome_watermark,
        }
    }
}

impl Core {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no thread panics while it holds the state")
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no thread panics while it holds the state")
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("no thread panics while it holds the tail")
    }

    /// Returns the applied position with the digests. Blocks applying meanwhile.
    fn progress(&self) -> Progress {
        let state = self.state();
        let cached = self.tail().digest;
        let digest = cached.unwrap_or_else(|| rows::digest(&state));
        let mut tail = self.tail();
        tail.digest = Some(digest);
        Progress {
            revision: tail.log.revision,
            applied: tail.applied.map_or(0, |applied| applied.index),
            state: digest,
            events: tail.log.chain,
        }
    }

    /// Returns the error for a caller that finds the writer stopped. Blows the fuse unless the
    /// store was closed.
    pub(crate) fn writer_stopped(&self) -> io::Error {
        if self.closing.is_cancelled() {
            return io::Error::other("the derived store is closed");
        }
        // Without a cause, the writer panicked, or the Raft log ended before it. In both cases
        // nothing would be written anymore.
        self.fuse
            .blow("the writer of the derived store stopped: it panicked or the Raft log ended");
        self.fuse.check().expect_err("the fuse has blown")
    }

    /// Stops the node because of a storage error, and returns the error.
    pub(crate) fn fail(&self, failure: &str, error: impl Into<io::Error>) -> io::Error {
        let error = error.into();
        self.fuse.blow(format_args!("{failure}: {}", Report::new(&error)));
        error
    }

    /// Stops the node because of damaged events, and returns the error.
    pub(crate) fn damaged(&self, error: impl Into<io::Error>) -> io::Error {
        let location = self.database.location();
        let failure = format!(
            "the event log in {location} is damaged; wipe the data directory and join as a new node"
        );
        self.fail(&failure, error)
    }

    /// Publishes the current positions to all watches.
    pub(crate) fn publish(&self) {
        let (index, revision) = {
            let tail = self.tail();
            (tail.applied.map(|applied| applied.index), tail.log.revision)
        };
        self.publish_durable();
        raise(&self.latest, revision);
        if let Some(index) = index {
            raise(&self.applied, index);
        }
    }
}

/// Raises the value of a watch to `value`. Does nothing if it is already as high.
fn raise<T: PartialOrd>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|current| {
        let higher = value > *current;
        if higher {
            *current = value;
        }
        higher
    });
}

impl Store {
    /// Returns the applied state of this node. Hold the guard briefly and never across an await:
    /// applying waits for it.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.core.state()
    }

    /// Returns up to `limit` applied events from `from` on, in order.
    ///
    /// # Errors
    /// If the events were trimmed or cannot be read.
    pub fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError> {
        self.core.events(from, limit)
    }

    /// Returns the stored records of the events from `from` to `through`, as many as fit one
    /// message (at least one, if there is one). For snapshots: unlike [`Store::events`], it also
    /// reads trimmed events whose segment still exists.
    ///
    /// # Errors
    /// If the events are removed or cannot be read.
    pub fn stored_events(
        &self,
        from: Revision,
        through: Revision,
    ) -> Result<Vec<Bytes>, HistoryError> {
        self.core.stored_events(from, through)
    }

    /// Returns a watch of the newest readable revision.
    #[must_use]
    pub fn latest(&self) -> watch::Receiver<Revision> {
        self.core.latest.subscribe()
    }

    /// Returns a watch of the newest revision that is applied and durable in this node's own Raft
    /// log.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Revision> {
        self.core.durable.subscribe()
    }

    /// Returns a watch of the last applied log index; 0 also before the first entry.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.core.applied.subscribe()
    }

    /// Returns the newest revision and the chain hash over all events up to it.
    #[must_use]
    pub fn chain(&self) -> (Revision, Digest) {
        let tail = self.core.tail();
        (tail.log.revision, tail.log.chain)
    }

    /// Returns the newest revision and the SHA-256 digest of the whole state, including outcomes:
    /// equal on all nodes that have applied the same entries. The digest is computed if the state
    /// has changed since the last call; applying waits meanwhile.
    #[must_use]
    pub fn position(&self) -> (Revision, Digest) {
        let Progress { revision, state, .. } = self.core.progress();
        (revision, state)
    }

    /// Returns the applied position and the digests at one moment. Computed like
    /// [`position`](Self::position), but on a blocking thread: hashing a full state takes tens of
    /// milliseconds, which would block the runtime.
    pub async fn progress(&self) -> Progress {
        let core = self.core.clone();
        let hashing = tokio::task::spawn_blocking(move || core.progress()).await;
        hashing.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Returns the last log index whose rows are synced: the Raft log must not be purged beyond it.
    #[must_use]
    pub fn synced_index(&self) -> Arc<AtomicU64> {
        self.core.synced_index.clone()
    }

    /// Writes and syncs everything that the Raft log holds durably, and stops the writer. Does not
    /// wait for entries that are not durable in the log: they are restored from the log. So close
    /// the log first.
    ///
    /// # Errors
    /// If the rows cannot be written or synced.
    pub async fn close(&self) -> io::Result<()> {
        self.core.closing.cancel();
        self.request(|reply| Job::Close { reply }).await
    }

    /// Sends a job to the writer and waits for its reply.
    pub(crate) async fn request(
        &self,
        job: impl FnOnce(oneshot::Sender<()>) -> Job,
    ) -> io::Result<()> {
        self.core.fuse.check()?;
        let (reply, replied) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| self.core.writer_stopped())?;
        replied.await.map_err(|_| self.core.writer_stopped())
    }

    /// Returns the next unused number of an epoch or a history.
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

/// Registers the descriptions of the metrics of the derived store with the recorder.
pub fn describe_metrics() {
    use metrics::Unit;
    metrics::describe_histogram!(
        "meridian_apply_duration_seconds",
        Unit::Seconds,
        "Duration of applying a range of log entries in memory."
    );
    metrics::describe_gauge!(
        "meridian_derived_backlog_ranges",
        Unit::Count,
        "Applied ranges whose rows are not written to the derived store yet."
    );
}
