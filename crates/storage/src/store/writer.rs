//! The one thread that writes the derived store.
//!
//! Its jobs come in one queue and are done in order, so that a sync covers every range queued before
//! it, and an installed snapshot meets all that was applied before it. Ranges that come shortly after
//! each other are written as one: nobody waits for them, and most write the same few rows again.

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

/// Ranges and other jobs that wait at most; applying waits beyond that. A range is at most some
/// hundred entries, so this bounds what memory holds and the disk does not.
pub(super) const MOST_JOBS: usize = 64;
/// How long the first of the ranges waits that are written as one: rows that a crash takes with it
/// come back from the Raft log, and this much of it is soon applied again.
const GATHERING: Duration = Duration::from_millis(200);
/// Bytes of rows that are written as one, about: one range more than that is held in memory.
const GATHERED_BYTES: usize = 2 << 20;
/// Rows that are swept away at once, between two jobs.
const SWEPT_ROWS: usize = 256;

/// What the writer is asked for. A reply that never comes means that it was not done.
pub(crate) enum Job {
    /// Write what a range of entries has changed, once the Raft log holds it.
    Range(AppliedRange),
    /// Sync everything before.
    Sync { reply: oneshot::Sender<()> },
    /// Write a part of a snapshot that is being received.
    Stage { chunk: Chunk, reply: oneshot::Sender<()> },
    /// Make a received snapshot the present one.
    Install { pointer: Pointer, reply: oneshot::Sender<()> },
    /// Remove these rows when there is time. Nothing points at them any more.
    Sweep(Vec<KeyRange>),
    /// Write what can be written, sync, and end.
    Close { reply: oneshot::Sender<()> },
}

/// What a range of entries has changed.
pub(crate) struct AppliedRange {
    /// Its last log index.
    pub(crate) index: u64,
    /// The last event up to its end.
    pub(crate) revision: Revision,
    /// Its rows, with the position, but for those of its events.
    pub(crate) batch: Batch,
    /// Under which number its events are written.
    pub(crate) history: u64,
    /// Its events.
    pub(crate) events: Vec<(Revision, StoredEvent)>,
    /// Rows of events that it has trimmed: all of them, from the first on.
    pub(crate) trimmed: Option<KeyRange>,
    /// How many ranges were put together for it.
    pub(crate) ranges: u32,
}

pub(super) struct Writer {
    core: Arc<Core>,
    jobs: mpsc::Receiver<Job>,
    flushed: watch::Receiver<Option<u64>>,
    /// The last log index in the rows.
    written_index: u64,
    /// A range was left out, because the Raft log will not hold it any more in this life. None may
    /// be written after it.
    cut: bool,
    garbage: Vec<KeyRange>,
    /// Ranges that are to be written as one.
    gathered: Vec<AppliedRange>,
    gathered_bytes: usize,
    /// Events up to here may have been staged, each in a row of its own, and are written over those.
    staged: Revision,
    /// Until when they wait for more, if there are any.
    until: Option<Instant>,
}

impl AppliedRange {
    /// Bytes of its rows, about.
    fn bytes(&self) -> usize {
        let events = self.events.iter().map(|(_, event)| event.row().len());
        self.batch.bytes() + events.sum::<usize>()
    }

    /// This range and the next one, as one.
    fn followed_by(mut self, next: Self) -> Self {
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
        let (gathered, gathered_bytes, until) = Default::default();
        Self {
            core,
            jobs,
            flushed,
            written_index,
            cut: false,
            garbage,
            gathered,
            gathered_bytes,
            staged: Revision(0),
            until,
        }
    }

    /// Starts the thread; a task, where the database never blocks. It ends when the store is closed
    /// or dropped, or the fuse has blown.
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
            self.core.fail("the derived store cannot be written", error);
        }
    }

    async fn work(&mut self) -> io::Result<()> {
        let fuse = self.core.fuse.clone();
        loop {
            let until = self.until;
            let job = match self.jobs.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) if until.is_none() && !self.garbage.is_empty() => {
                    self.sweep()?;
                    continue;
                }
                Err(TryRecvError::Empty) => tokio::select! {
                    biased;
                    _ = fuse.blown() => return Ok(()),
                    job = self.jobs.recv() => job,
                    () = past(until) => {
                        self.write_gathered().await?;
                        // Where changes come all the time, the queue is never found empty above.
                        self.sweep()?;
                        continue;
                    }
                },
            };
            // What is in memory may be wrong once the fuse has blown: the disk stays as it is.
            if fuse.cause().is_some() {
                return Ok(());
            }
            let Some(job) = job else { return self.write_gathered().await };
            if !self.serve(job).await? {
                return Ok(());
            }
        }
    }

    /// Does one job; false after the last one.
    async fn serve(&mut self, job: Job) -> io::Result<bool> {
        if !matches!(job, Job::Range(_)) {
            self.write_gathered().await?;
        }
        match job {
            Job::Range(range) => self.gather(range).await?,
            Job::Sync { reply } if !self.cut => {
                self.sync()?;
                answer(reply);
            }
            Job::Stage { chunk, reply } if !self.cut => {
                self.staged = self.staged.max(chunk.last_event());
                self.core.database.write(chunk.into_batch(&self.core))?;
                answer(reply);
            }
            Job::Install { pointer, reply } if !self.cut => {
                self.install(pointer)?;
                answer(reply);
            }
            Job::Sync { .. } | Job::Stage { .. } | Job::Install { .. } => {}
            Job::Sweep(ranges) => self.garbage.extend(ranges),
            Job::Close { reply } => {
                self.sync()?;
                answer(reply);
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn gather(&mut self, range: AppliedRange) -> io::Result<()> {
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + GATHERING);
        self.gathered_bytes += range.bytes();
        self.gathered.push(range);
        let full = self.gathered_bytes >= GATHERED_BYTES || now >= until;
        if full || planted(Bug::RowsBeforeLog) { self.write_gathered().await } else { Ok(()) }
    }

    /// Writes the gathered ranges once the Raft log holds them; where it will not hold them all any
    /// more, those that it does.
    async fn write_gathered(&mut self) -> io::Result<()> {
        self.until = None;
        self.gathered_bytes = 0;
        let ranges = std::mem::take(&mut self.gathered);
        let Some(last) = ranges.last().filter(|_| !self.cut) else { return Ok(()) };
        let early = planted(Bug::RowsBeforeLog);
        self.cut = !early && !self.log_holds(last.index).await;
        if self.core.fuse.cause().is_some() {
            return Ok(());
        }
        let flushed = *self.flushed.borrow();
        let held = ranges.into_iter().take_while(|range| early || flushed >= Some(range.index));
        match held.reduce(AppliedRange::followed_by) {
            Some(range) => self.write(range),
            None => Ok(()),
        }
    }

    fn write(&mut self, range: AppliedRange) -> io::Result<()> {
        let AppliedRange { mut batch, history, events, .. } = range;
        stored::write(&mut batch, history, &events, self.staged);
        self.core.database.write(batch)?;
        self.written_index = range.index;
        self.core.tail().log.note_written(range.revision);
        self.garbage.extend(range.trimmed);
        metrics::gauge!("meridian_derived_backlog_ranges").decrement(f64::from(range.ranges));
        Ok(())
    }

    /// Waits until the Raft log holds `index` durably; false if that will not happen any more.
    async fn log_holds(&mut self, index: u64) -> bool {
        tokio::select! {
            biased;
            held = self.flushed.wait_for(|flushed| *flushed >= Some(index)) => held.is_ok(),
            () = self.core.closing.cancelled() => false,
            _ = self.core.fuse.blown() => false,
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.core.database.sync()?;
        self.core.synced_index.store(self.written_index, Ordering::Release);
        Ok(())
    }

    /// Everything staged must be on the disk before the pointer, and the pointer before anybody is
    /// told.
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

/// Returns at that time; never, where there is none.
async fn past(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Whoever asked may have gone; that changes nothing.
fn answer(reply: oneshot::Sender<()>) {
    reply.send(()).ok();
}

/// Removes the first rows of the range, and says where the rest begins, if there is more.
pub(super) fn sweep_some(
    database: &dyn crate::disk::database::Database,
    range: &KeyRange,
) -> io::Result<Option<Vec<u8>>> {
    let rows = database.scan(&range.start, &range.end, SWEPT_ROWS)?;
    let last = rows.last().map(|(key, _)| key.clone());
    let full = rows.len() == SWEPT_ROWS;
    let mut batch = Batch::default();
    rows.into_iter().for_each(|(key, _)| batch.remove(key));
    if !batch.changes.is_empty() {
        database.write(batch)?;
    }
    Ok(last.filter(|_| full))
}
