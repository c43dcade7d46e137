//! Writer of the derived store: the only thread that writes to its database.
//!
//! Jobs are queued and processed in order. So a sync covers every range queued before it, and an
//! installed snapshot follows everything that was applied before it. Ranges that arrive within a
//! short time are written as one batch: nothing waits for them, and most of them rewrite the same
//! few rows.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use meridian_domain::Revision;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::Core;
use super::incoming::{Chunk, Pointer};
use crate::disk::database::Batch;
use crate::event_log::{StoredEvent, stored};
use crate::planted::{Bug, planted};
use crate::rows::KeyRange;

/// Maximum number of queued ranges and other jobs; applying waits when the queue is full. A range
/// is at most a few hundred entries, so this limits what is in memory but not on the disk.
pub(super) const MAX_QUEUED_JOBS: usize = 64;
/// Maximum time that the first range of a batch waits for more. Rows that a crash loses are
/// restored from the Raft log, and 200 ms of entries are soon applied again.
const BATCH_DELAY: Duration = Duration::from_millis(200);
/// Approximate maximum size of a batch in bytes. Up to one range more is held in memory.
const MAX_BATCH_BYTES: usize = 2 << 20;
/// Maximum number of rows that are deleted in one step, between two jobs.
const SWEEP_ROWS: usize = 256;

/// Job of the writer. If a reply is dropped, the job was not done.
pub(crate) enum Job {
    /// Write the rows of an applied range, once the Raft log has it durably.
    Range(AppliedRange),
    /// Sync everything written before.
    Sync { reply: oneshot::Sender<()> },
    /// Write a part of a received snapshot.
    Stage { chunk: Chunk, reply: oneshot::Sender<()> },
    /// Make a received snapshot the current state.
    Install { pointer: Pointer, reply: oneshot::Sender<()> },
    /// Delete rows that the position no longer names, between other jobs.
    Sweep(Vec<KeyRange>),
    /// Write what the Raft log has durably, sync, and stop.
    Close { reply: oneshot::Sender<()> },
}

/// Changes of an applied range of entries.
pub(crate) struct AppliedRange {
    /// Last log index of the range.
    pub(crate) index: u64,
    /// Last event up to the end of the range.
    pub(crate) revision: Revision,
    /// Rows including the position, but without those of the events.
    pub(crate) batch: Batch,
    /// History of its events.
    pub(crate) history: u64,
    /// Events.
    pub(crate) events: Vec<(Revision, StoredEvent)>,
    /// Event rows that the range has trimmed, from the first one on.
    pub(crate) trimmed: Option<KeyRange>,
    /// Number of ranges that were merged into this one.
    pub(crate) ranges: u32,
}

pub(super) struct Writer {
    core: Arc<Core>,
    jobs: mpsc::Receiver<Job>,
    flushed: watch::Receiver<Option<u64>>,
    /// Last log index in the rows.
    written_index: u64,
    /// Set when a range was dropped because the Raft log will not have it durably in this process
    /// run. No later range may be written.
    log_ended: bool,
    garbage: Vec<KeyRange>,
    /// Ranges of the next batch.
    batch: Vec<AppliedRange>,
    batch_bytes: usize,
    /// Last event that may have been staged. Staged events have a row each, and events up to here
    /// are written over these rows.
    staged: Revision,
    /// Time at which the batch is written, if there is one.
    deadline: Option<Instant>,
}

impl AppliedRange {
    /// Returns the approximate size of the rows in bytes.
    fn bytes(&self) -> usize {
        let events = self.events.iter().map(|(_, event)| event.row().len());
        self.batch.bytes() + events.sum::<usize>()
    }

    /// Merges the next range into this one.
    fn merge(mut self, next: Self) -> Self {
        self.index = next.index;
        self.revision = next.revision;
        self.ranges += next.ranges;
        self.batch.changes.extend(next.batch.changes);
        self.events.extend(next.events);
        self.trimmed = next.trimmed.or(self.trimmed);
        self
    }
}

impl Writer {
    pub(super) fn new(
        core: Arc<Core>,
        jobs: mpsc::Receiver<Job>,
        written_index: u64,
        garbage: Vec<KeyRange>,
    ) -> Self {
        let flushed = core.flushed.clone();
        let (batch, batch_bytes, deadline) = Default::default();
        Self {
            core,
            jobs,
            flushed,
            written_index,
            log_ended: false,
            garbage,
            batch,
            batch_bytes,
            staged: Revision(0),
            deadline,
        }
    }

    /// Spawns the writer on a thread, or as a task if the database never blocks. It stops when the
    /// store is closed or dropped, or the fuse has blown.
    pub(super) fn spawn(self) -> io::Result<()> {
        if !self.core.database.blocks() {
            tokio::spawn(self.run());
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("derived-writer".to_owned());
        thread.spawn(move || runtime.block_on(self.run()))?;
        Ok(())
    }

    async fn run(mut self) {
        if let Err(error) = self.work().await {
            self.core.fail("cannot write the derived store", error);
        }
    }

    async fn work(&mut self) -> io::Result<()> {
        let fuse = self.core.fuse.clone();
        loop {
            let deadline = self.deadline;
            let job = match self.jobs.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) if deadline.is_none() && !self.garbage.is_empty() => {
                    self.sweep()?;
                    continue;
                }
                Err(TryRecvError::Empty) => tokio::select! {
                    biased;
                    _ = fuse.blown() => return Ok(()),
                    job = self.jobs.recv() => job,
                    () = sleep_until(deadline) => {
                        self.write_batch().await?;
                        // Under constant load, the queue is never found empty above.
                        self.sweep()?;
                        continue;
                    }
                },
            };
            // After the fuse has blown, memory may be inconsistent: the disk is left as it is.
            if fuse.cause().is_some() {
                return Ok(());
            }
            let Some(job) = job else { return self.write_batch().await };
            if !self.process(job).await? {
                return Ok(());
            }
        }
    }

    /// Processes one job. Returns false after the last one.
    async fn process(&mut self, job: Job) -> io::Result<bool> {
        if !matches!(job, Job::Range(_)) {
            self.write_batch().await?;
        }
        match job {
            Job::Range(range) => self.add_to_batch(range).await?,
            Job::Sync { reply } if !self.log_ended => {
                self.sync()?;
                acknowledge(reply);
            }
            Job::Stage { chunk, reply } if !self.log_ended => {
                self.staged = self.staged.max(chunk.last_event());
                self.core.database.write(chunk.into_batch(&self.core))?;
                acknowledge(reply);
            }
            Job::Install { pointer, reply } if !self.log_ended => {
                self.install(pointer)?;
                acknowledge(reply);
            }
            Job::Sync { .. } | Job::Stage { .. } | Job::Install { .. } => {}
            Job::Sweep(ranges) => self.garbage.extend(ranges),
            Job::Close { reply } => {
                self.sync()?;
                acknowledge(reply);
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn add_to_batch(&mut self, range: AppliedRange) -> io::Result<()> {
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(now + BATCH_DELAY);
        self.batch_bytes += range.bytes();
        self.batch.push(range);
        let due = self.batch_bytes >= MAX_BATCH_BYTES || now >= deadline;
        if due || planted(Bug::RowsBeforeLog) { self.write_batch().await } else { Ok(()) }
    }

    /// Writes the batched ranges once the Raft log has them durably. If it will not have all of
    /// them, writes those that it has.
    async fn write_batch(&mut self) -> io::Result<()> {
        self.deadline = None;
        self.batch_bytes = 0;
        let ranges = std::mem::take(&mut self.batch);
        let Some(last) = ranges.last().filter(|_| !self.log_ended) else { return Ok(()) };
        let early = planted(Bug::RowsBeforeLog);
        self.log_ended = !early && !self.wait_durable(last.index).await;
        if self.core.fuse.cause().is_some() {
            return Ok(());
        }
        let flushed = *self.flushed.borrow();
        let durable = ranges.into_iter().take_while(|range| early || flushed >= Some(range.index));
        match durable.reduce(AppliedRange::merge) {
            Some(range) => self.write(range),
            None => Ok(()),
        }
    }

    fn write(&mut self, range: AppliedRange) -> io::Result<()> {
        let AppliedRange { mut batch, history, events, .. } = range;
        stored::write(&mut batch, history, &events, self.staged);
        self.core.database.write(batch)?;
        self.written_index = range.index;
        self.core.tail().log.mark_written(range.revision);
        self.garbage.extend(range.trimmed);
        metrics::gauge!("meridian_derived_backlog_ranges").decrement(f64::from(range.ranges));
        Ok(())
    }

    /// Waits until the Raft log has `index` durably. Returns false if it never will.
    async fn wait_durable(&mut self, index: u64) -> bool {
        tokio::select! {
            biased;
            flushed = self.flushed.wait_for(|flushed| *flushed >= Some(index)) => flushed.is_ok(),
            () = self.core.closing.cancelled() => false,
            _ = self.core.fuse.blown() => false,
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.core.database.sync()?;
        self.core.synced_index.store(self.written_index, Ordering::Release);
        Ok(())
    }

    /// Everything staged must be durable before the pointer is written, and the pointer before the
    /// installation is reported.
    fn install(&mut self, pointer: Pointer) -> io::Result<()> {
        pointer.check(&self.core)?;
        let early = planted(Bug::InstallWithoutSync);
        if !early {
            self.core.database.sync()?;
        }
        let (index, batch) = pointer.into_batch();
        self.core.database.write(batch)?;
        self.written_index = index;
        if early {
            self.core.synced_index.store(index, Ordering::Release);
            return Ok(());
        }
        self.sync()
    }

    fn sweep(&mut self) -> io::Result<()> {
        let Some(range) = self.garbage.last_mut() else { return Ok(()) };
        match sweep_some(&*self.core.database, range)? {
            Some(rest) => range.start = rest,
            None => drop(self.garbage.pop()),
        }
        Ok(())
    }
}

/// Waits until `deadline`; forever if there is none.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Sends a reply. The receiver may be gone, which is not an error.
fn acknowledge(reply: oneshot::Sender<()>) {
    reply.send(()).ok();
}

/// Deletes the first rows of the range, and returns the start of the rest if there is more.
pub(super) fn sweep_some(
    database: &dyn crate::disk::database::Database,
    range: &KeyRange,
) -> io::Result<Option<Vec<u8>>> {
    let rows = database.scan(&range.start, &range.end, SWEEP_ROWS)?;
    let last = rows.last().map(|(key, _)| key.clone());
    let full = rows.len() == SWEEP_ROWS;
    let mut batch = Batch::default();
    rows.into_iter().for_each(|(key, _)| batch.remove(key));
    if !batch.changes.is_empty() {
        database.write(batch)?;
    }
    Ok(last.filter(|_| full))
}
