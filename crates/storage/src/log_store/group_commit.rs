//! Group commit: appends and votes that arrive during a sync share the next one, which starts as
//! soon as the current one completes.
//!
//! There is no dedicated thread. A sync is started by the writer if none is in flight, and
//! otherwise by the thread that reports the completion of the previous one. So a single append
//! needs one thread switch to the disk and one back.
//!
//! The reporting thread must never wait for the journal, because the holder of the journal may be
//! waiting for that thread. So it only tries to lock; if that fails, the holder starts the sync
//! after it releases the lock. No wake-up is lost: the reporter records that no sync is in flight
//! *before* it tries to lock, and the holder releases the lock *before* it checks.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LockResult, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use error_reporter::Report;
use openraft::alias::EntryOf;
use tokio::sync::watch;

use crate::disk::entry::Position;
use crate::disk::journal::{Bounds, Journal, SyncCallback};
use crate::fuse::Fuse;
use crate::log_store::blocking::may_block;
use crate::log_store::waiter::Waiter;
use crate::planted::{Bug, planted};
use crate::raft::TypeConfig;

const SYNC_SECONDS: &str = "meridian_raft_log_sync_seconds";
const SYNCED_BATCHES: &str = "meridian_raft_log_synced_batches_total";
const SYNCED_BYTES: &str = "meridian_raft_log_synced_bytes_total";

/// Registers the descriptions of the metrics of the Raft log with the recorder.
pub fn describe_metrics() {
    use metrics::Unit;
    metrics::describe_histogram!(
        SYNC_SECONDS,
        Unit::Seconds,
        "Duration of a sync of the Raft log."
    );
    metrics::describe_counter!(
        SYNCED_BATCHES,
        Unit::Count,
        "Syncs of the Raft log, each for all appends and votes that were pending."
    );
    metrics::describe_counter!(
        SYNCED_BYTES,
        Unit::Bytes,
        "Payload of the synced entries of the Raft log."
    );
}

type SharedJournal = Arc<Mutex<Box<dyn Journal>>>;

/// Journal, and the waiters for its syncs.
pub(super) struct GroupCommit {
    journal: SharedJournal,
    queue: Arc<Queue>,
    closed: AtomicBool,
}

/// State that the completion of a sync needs. It must not own the journal: a journal that is
/// dropped by its own writer thread would wait for that thread to exit.
struct Queue {
    journal: Weak<Mutex<Box<dyn Journal>>>,
    fuse: Fuse,
    flushed: watch::Sender<Option<u64>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Vec<Waiter>,
    in_flight: Option<Sync>,
    /// Start of the call of the journal in progress.
    call_started: Option<Instant>,
}

/// Sync in flight.
struct Sync {
    waiters: Vec<Waiter>,
    /// Last index that the sync makes durable; lowered by a truncation meanwhile.
    covers: Option<u64>,
    started: Instant,
}

impl GroupCommit {
    pub fn new(journal: Box<dyn Journal>, fuse: Fuse) -> Arc<Self> {
        let flushed = journal.bounds().last.map(|last| last.index);
        let journal = Arc::new(Mutex::new(journal));
        let queue = Arc::new(Queue {
            journal: Arc::downgrade(&journal),
            fuse,
            flushed: watch::Sender::new(flushed),
            state: Mutex::default(),
        });
        Arc::new(Self { journal, queue, closed: AtomicBool::new(false) })
    }

    pub fn flushed(&self) -> watch::Receiver<Option<u64>> {
        self.queue.flushed.subscribe()
    }

    pub fn fail(&self, action: &str, error: &io::Error) {
        self.queue.fail(action, error);
    }

    pub fn bounds(&self) -> io::Result<Bounds> {
        self.with("read the bounds of the log", |journal| Ok(journal.bounds()))
    }

    pub fn read(
        &self,
        range: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        let entries = self.with("read the log", |journal| journal.read(range, max_bytes))?;
        entries
            .into_iter()
            .map(|entry| entry.into_raft().inspect_err(|error| self.fail("read the log", error)))
            .collect()
    }

    /// Returns the age of the oldest sync or call of the journal that is in progress; zero if there
    /// is none. Never waits for the journal.
    pub fn busy_for(&self) -> Duration {
        let state = self.queue.state();
        let sync_started = state.in_flight.as_ref().map(|sync| sync.started);
        let oldest = sync_started.into_iter().chain(state.call_started).min();
        oldest.map_or(Duration::ZERO, |started| started.elapsed())
    }

    /// Writes `records` records with `bytes` of payload, and registers `waiter` for the next sync.
    /// Without a waiter, the write becomes durable with a later sync.
    pub fn change(
        &self,
        action: &str,
        (records, bytes): (usize, usize),
        waiter: Option<Waiter>,
        write: impl FnOnce(&mut dyn Journal) -> io::Result<()>,
    ) -> io::Result<()> {
        self.with(action, |journal| {
            if journal.write_blocks(records, bytes) {
                may_block(|| write(journal))?;
            } else {
                write(journal)?;
            }
            match waiter {
                Some(mut waiter) => {
                    if planted(Bug::AcknowledgeBeforeSync) {
                        waiter.report(Ok(()));
                    }
                    self.queue.state().pending.push(waiter);
                    self.queue.start(journal)
                }
                None => Ok(()),
            }
        })
    }

    /// Removes the entries after `last`, and registers `waiter` for the next sync.
    pub fn truncate_after(&self, last: Option<Position>, waiter: Waiter) -> io::Result<()> {
        let index = last.map(|last| last.index);
        self.with("truncate the log", |journal| {
            // Waits for the mark.
            may_block(|| journal.truncate_after(last))?;
            // The sync in flight covers only what is left of its entries.
            {
                let mut state = self.queue.state();
                if let Some(sync) = &mut state.in_flight {
                    sync.covers = sync.covers.min(index);
                }
                self.queue.flushed.send_if_modified(|flushed| {
                    let lowered = *flushed > index;
                    *flushed = (*flushed).min(index);
                    lowered
                });
                state.pending.push(waiter);
            }
            self.queue.start(journal)
        })
    }

    pub fn close(&self) -> io::Result<()> {
        self.with("close the log", |journal| {
            self.closed.store(true, Ordering::Release);
            let result = journal.close().and_then(|()| self.queue.fuse.check());
            // Closing has synced what they wait for, and no other sync may be started.
            let pending = std::mem::take(&mut self.queue.state().pending);
            complete_all(pending, &result);
            result
        })
    }

    /// Runs `run` on the journal unless the node has stopped. The first error stops the node.
    fn with<T>(
        &self,
        action: &str,
        run: impl FnOnce(&mut dyn Journal) -> io::Result<T>,
    ) -> io::Result<T> {
        self.queue.fuse.check()?;
        let result = match self.lock() {
            Ok(_) if self.closed.load(Ordering::Acquire) => return Err(closed()),
            Ok(mut journal) => {
                self.queue.state().call_started = Some(Instant::now());
                let result = run(&mut **journal);
                self.queue.state().call_started = None;
                result
            }
            Err(_) => Err(io::Error::other("the journal panicked")),
        };
        let result = result.inspect_err(|error| self.queue.fail(action, error));
        self.queue.start_pending_sync(&self.journal);
        result
    }

    /// Locks the journal. Its holder may wait for the disk.
    fn lock(&self) -> LockResult<MutexGuard<'_, Box<dyn Journal>>> {
        match self.journal.try_lock() {
            Ok(journal) => Ok(journal),
            Err(TryLockError::WouldBlock) => may_block(|| self.journal.lock()),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
        }
    }
}

impl Drop for GroupCommit {
    /// After the fuse has blown, the journal is never dropped: it would write what is pending and
    /// wait for a disk that may hang. The exit of the process releases its lock.
    fn drop(&mut self) {
        if self.queue.fuse.cause().is_some() {
            std::mem::forget(self.journal.clone());
        }
    }
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flushed = *self.queue.flushed.borrow();
        f.debug_struct("GroupCommit").field("flushed", &flushed).finish_non_exhaustive()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, action: &str, error: &io::Error) {
        self.fuse.blow(format_args!("cannot {action}: {}", Report::new(error)));
    }

    /// Starts a sync for the pending waiters if none is in flight.
    fn start(self: &Arc<Self>, journal: &mut dyn Journal) -> io::Result<()> {
        {
            let mut state = self.state();
            if state.in_flight.is_some() || state.pending.is_empty() {
                return Ok(());
            }
            let waiters = std::mem::take(&mut state.pending);
            let covers = journal.bounds().last.map(|last| last.index);
            state.in_flight = Some(Sync { waiters, covers, started: Instant::now() });
        }
        let queue = self.clone();
        journal.sync(SyncCallback::new(move |result| queue.complete(result)))
    }

    /// Handles the completion of a sync, on the thread of the journal.
    fn complete(self: &Arc<Self>, result: io::Result<()>) {
        let result = result
            .inspect_err(|error| self.fail("sync the log", error))
            .and_then(|()| self.fuse.check());
        let sync = {
            let mut state = self.state();
            let Some(sync) = state.in_flight.take() else {
                return;
            };
            // Under the lock, so that a truncation cannot intervene and be overwritten.
            if result.is_ok() {
                self.flushed.send_replace(sync.covers);
            }
            sync
        };
        if result.is_ok() {
            metrics::histogram!(SYNC_SECONDS).record(sync.started.elapsed());
            metrics::counter!(SYNCED_BATCHES).increment(1);
            let bytes: usize = sync.waiters.iter().map(|waiter| waiter.bytes).sum();
            metrics::counter!(SYNCED_BYTES).increment(bytes as u64);
        }
        complete_all(sync.waiters, &result);
        self.start_next();
    }

    fn start_next(self: &Arc<Self>) {
        let Some(journal) = self.journal.upgrade() else {
            return;
        };
        self.start_pending_sync(&journal);
        // The thread of the journal must not drop the journal.
        if let Some(last) = Arc::into_inner(journal) {
            std::thread::spawn(move || drop(last));
        }
    }

    /// Starts the next sync if there are waiters and the journal is not locked. A holder of the
    /// journal calls this after releasing it.
    fn start_pending_sync(self: &Arc<Self>, journal: &SharedJournal) {
        loop {
            let idle = {
                let state = self.state();
                state.in_flight.is_some() || state.pending.is_empty()
            };
            if idle {
                return;
            }
            if let Err(stopping) = self.fuse.check() {
                let failed = std::mem::take(&mut self.state().pending);
                return complete_all(failed, &Err(stopping));
            }
            match journal.try_lock() {
                Ok(mut journal) => {
                    if let Err(error) = self.start(&mut **journal) {
                        self.fail("sync the log", &error);
                    }
                }
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => {
                    self.fail("sync the log", &io::Error::other("the journal panicked"));
                }
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::other("the Raft log is closed")
}

fn complete_all(waiters: Vec<Waiter>, result: &io::Result<()>) {
    for waiter in waiters {
        // The fuse has the cause itself; an `io::Error` cannot be cloned.
        waiter.complete(result.as_ref().map_err(copy).copied());
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
