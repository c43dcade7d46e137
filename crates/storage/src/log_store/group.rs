//! Groups what waits for a sync: while one is under way, whatever is written waits for the next,
//! and that next one begins as soon as the one before is done.
//!
//! No thread does this. A sync is begun by whoever writes when none is under way, and by the thread
//! that reports the end of a sync when something was written meanwhile; so a lone append costs one
//! change of threads towards the disk and one back.
//!
//! The thread that reports must never wait for the journal, since whoever holds it may be waiting
//! for that thread. So it only tries; where it fails, the holder begins the sync when he lets go.
//! No wish is lost: the reporter notes that no sync is under way *before* it tries, and the holder
//! lets go *before* he looks.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Instant;

use openraft::alias::EntryOf;
use openraft::storage::IOFlushed;
use tokio::sync::{oneshot, watch};

use crate::disk::durable::with_causes;
use crate::disk::entry::Position;
use crate::disk::journal::{Bounds, Done, Journal};
use crate::fuse::Fuse;
use crate::planted::{Bug, planted};
use crate::raft::TypeConfig;

const SYNC_SECONDS: &str = "meridian_raft_log_sync_seconds";
const SYNCED_BATCHES: &str = "meridian_raft_log_synced_batches_total";
const SYNCED_BYTES: &str = "meridian_raft_log_synced_bytes_total";

/// Tells the metrics recorder what the metrics of the Raft log mean.
pub fn describe_metrics() {
    use metrics::Unit;
    metrics::describe_histogram!(
        SYNC_SECONDS,
        Unit::Seconds,
        "Time from beginning a sync of the Raft log until it is durable"
    );
    metrics::describe_counter!(
        SYNCED_BATCHES,
        Unit::Count,
        "Syncs of the Raft log, each for all appends and votes that waited"
    );
    metrics::describe_counter!(
        SYNCED_BYTES,
        Unit::Bytes,
        "Payload of the Raft log entries that were synced"
    );
}

type SharedJournal = Arc<Mutex<Box<dyn Journal>>>;

/// The journal, and those who wait for its syncs.
pub(super) struct Group {
    journal: SharedJournal,
    queue: Arc<Queue>,
    closed: AtomicBool,
}

/// What the end of a sync needs. It must not own the journal: a journal that was dropped by its own
/// writing thread would wait for that thread to end.
struct Queue {
    journal: Weak<Mutex<Box<dyn Journal>>>,
    fuse: Fuse,
    flushed: watch::Sender<Option<u64>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiter>,
    under_way: Option<Sync>,
}

/// A sync under way.
struct Sync {
    waiters: Vec<Waiter>,
    /// The last index that will be durable; lowered by a truncation meanwhile.
    covers: Option<u64>,
    begun: Instant,
}

/// Someone who wants to know when what was written is durable. Dropped, it reports failure:
/// openraft would wait for ever.
pub(super) struct Waiter {
    receiver: Receiver,
    bytes: usize,
}

enum Receiver {
    Append(IOFlushed<TypeConfig>),
    Vote(oneshot::Sender<io::Result<()>>),
    Nobody,
}

impl Waiter {
    /// One for an append of `bytes` of payload.
    pub fn append(callback: IOFlushed<TypeConfig>, bytes: usize) -> Self {
        Self { receiver: Receiver::Append(callback), bytes }
    }

    /// One for a vote, and where it is said to be saved.
    pub fn vote() -> (Self, oneshot::Receiver<io::Result<()>>) {
        let (send, receive) = oneshot::channel();
        (Self { receiver: Receiver::Vote(send), bytes: 0 }, receive)
    }

    /// One that only makes a sync happen.
    pub fn nobody() -> Self {
        Self { receiver: Receiver::Nobody, bytes: 0 }
    }

    fn finish(mut self, result: io::Result<()>) {
        self.report(result);
    }

    fn report(&mut self, result: io::Result<()>) {
        match std::mem::replace(&mut self.receiver, Receiver::Nobody) {
            Receiver::Append(callback) => callback.io_completed(result),
            // Whoever asked may have gone, which changes nothing here.
            Receiver::Vote(send) => drop(send.send(result)),
            Receiver::Nobody => {}
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.report(Err(closed()));
    }
}

impl Group {
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
        self.with("read the log's bounds", |journal| Ok(journal.bounds()))
    }

    pub fn read(
        &self,
        range: Range<u64>,
        most_bytes: usize,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        let entries = self.with("read the log", |journal| journal.read(range, most_bytes))?;
        entries
            .into_iter()
            .map(|entry| entry.into_raft().inspect_err(|error| self.fail("read the log", error)))
            .collect()
    }

    /// Writes, and has `waiter` wait for the sync of it; without one, it rides in the next sync.
    pub fn change(
        &self,
        action: &str,
        waiter: Option<Waiter>,
        write: impl FnOnce(&mut dyn Journal) -> io::Result<()>,
    ) -> io::Result<()> {
        self.with(action, |journal| {
            write(journal)?;
            match waiter {
                Some(mut waiter) => {
                    if planted(Bug::AcknowledgeBeforeSync) {
                        waiter.report(Ok(()));
                    }
                    self.queue.state().waiting.push(waiter);
                    self.queue.begin(journal)
                }
                None => Ok(()),
            }
        })
    }

    pub fn truncate_after(&self, last: Option<Position>) -> io::Result<()> {
        let index = last.map(|last| last.index);
        self.with("truncate the log", |journal| {
            journal.truncate_after(last)?;
            // A sync under way covers only what is left of what it began with.
            let mut state = self.queue.state();
            if let Some(sync) = &mut state.under_way {
                sync.covers = sync.covers.min(index);
            }
            self.queue.flushed.send_if_modified(|flushed| {
                let back = *flushed > index;
                *flushed = (*flushed).min(index);
                back
            });
            Ok(())
        })
    }

    pub fn close(&self) -> io::Result<()> {
        self.with("close the log", |journal| {
            self.closed.store(true, Ordering::Release);
            journal.close()
        })
    }

    /// Runs `action` on the journal, unless the node has stopped; its first error stops the node.
    fn with<T>(
        &self,
        action: &str,
        run: impl FnOnce(&mut dyn Journal) -> io::Result<T>,
    ) -> io::Result<T> {
        self.queue.refuse_if_blown()?;
        let result = match self.journal.lock() {
            Ok(_) if self.closed.load(Ordering::Acquire) => return Err(closed()),
            Ok(mut journal) => run(&mut **journal),
            Err(_) => Err(io::Error::other("the journal panicked")),
        };
        let result = result.inspect_err(|error| self.queue.fail(action, error));
        self.queue.begin_what_waits(&self.journal);
        result
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flushed = *self.queue.flushed.borrow();
        f.debug_struct("Group").field("flushed", &flushed).finish_non_exhaustive()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, action: &str, error: &io::Error) {
        self.fuse.blow(format_args!("cannot {action}: {}", with_causes(error)));
    }

    fn refuse_if_blown(&self) -> io::Result<()> {
        match self.fuse.cause() {
            None => Ok(()),
            Some(cause) => Err(io::Error::other(format!("this node has stopped: {cause}"))),
        }
    }

    /// Begins a sync for those who wait, if none is under way.
    fn begin(self: &Arc<Self>, journal: &mut dyn Journal) -> io::Result<()> {
        {
            let mut state = self.state();
            if state.under_way.is_some() || state.waiting.is_empty() {
                return Ok(());
            }
            let waiters = std::mem::take(&mut state.waiting);
            let covers = journal.bounds().last.map(|last| last.index);
            state.under_way = Some(Sync { waiters, covers, begun: Instant::now() });
        }
        let queue = self.clone();
        journal.sync(Done::new(move |result| queue.end(result)))
    }

    /// Takes the end of a sync, on the journal's own thread.
    fn end(self: &Arc<Self>, result: io::Result<()>) {
        let result = result
            .inspect_err(|error| self.fail("sync the log", error))
            .and_then(|()| self.refuse_if_blown());
        let sync = {
            let mut state = self.state();
            let Some(sync) = state.under_way.take() else {
                return;
            };
            // Under the lock, so that a truncation cannot come in between and be forgotten.
            if result.is_ok() {
                self.flushed.send_replace(sync.covers);
            }
            sync
        };
        if result.is_ok() {
            metrics::histogram!(SYNC_SECONDS).record(sync.begun.elapsed());
            metrics::counter!(SYNCED_BATCHES).increment(1);
            let bytes: usize = sync.waiters.iter().map(|waiter| waiter.bytes).sum();
            metrics::counter!(SYNCED_BYTES).increment(bytes as u64);
        }
        for waiter in sync.waiters {
            // The cause itself is in the fuse; an `io::Error` cannot be given twice.
            waiter.finish(result.as_ref().map_err(copy).copied());
        }
        self.go_on();
    }

    fn go_on(self: &Arc<Self>) {
        let Some(journal) = self.journal.upgrade() else {
            return;
        };
        self.begin_what_waits(&journal);
        // The journal's own thread must not be the one that drops it.
        if let Some(last) = Arc::into_inner(journal) {
            std::thread::spawn(move || drop(last));
        }
    }

    /// Begins the next sync if one is wanted and the journal is free; whoever has it comes here
    /// too.
    fn begin_what_waits(self: &Arc<Self>, journal: &SharedJournal) {
        loop {
            let idle = {
                let state = self.state();
                state.under_way.is_some() || state.waiting.is_empty()
            };
            if idle {
                return;
            }
            if self.fuse.cause().is_some() {
                // Their drop reports the failure.
                let stranded = std::mem::take(&mut self.state().waiting);
                drop(stranded);
                return;
            }
            match journal.try_lock() {
                Ok(mut journal) => {
                    if let Err(error) = self.begin(&mut **journal) {
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

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
