//! Background thread that writes the mark, so that appends need no additional sync.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use error_reporter::Report;

use crate::disk::entry::{Position, StoredVote};
use crate::disk::mark::Mark;
use crate::fuse::Fuse;

/// Maximum delay of the mark behind a log that is written continuously.
const MARK_PERIOD: Duration = Duration::from_secs(1);

/// Thread that writes the mark after entries became durable.
#[derive(Debug)]
pub(super) struct MarkWriter {
    handle: Arc<Handle>,
    thread: Option<JoinHandle<()>>,
}

/// Handle to the mark, shared by the threads of the log and the mark writer.
///
/// A write of the mark holds only the lock of the file. So what was recorded can be read and changed
/// during a write, however long the disk takes.
#[derive(Debug)]
pub(super) struct Handle {
    /// Locked before `recorded` where both are locked.
    mark: Mutex<Mark>,
    recorded: Mutex<Recorded>,
    changed: Condvar,
    fuse: Fuse,
}

#[derive(Debug)]
struct Recorded {
    /// Durable vote, to be written to the mark.
    vote: Option<StoredVote>,
    /// Last durable entry, to be written to the mark.
    durable: Option<Position>,
    /// Vote and entry in the mark, as of the last completed write.
    written: (Option<StoredVote>, Option<Position>),
    /// Incremented by each truncation: the coverage of a sync that started before it does not apply
    /// to the entries after it.
    epoch: u64,
    /// Set when the mark has to be written.
    dirty: bool,
    stopping: bool,
}

/// Vote and entries that are durable once a sync completes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coverage {
    pub vote: Option<StoredVote>,
    pub last: Option<Position>,
    /// Truncation epoch in which the sync started.
    pub epoch: u64,
}

impl MarkWriter {
    pub fn start(mark: Mark, fuse: Fuse) -> io::Result<Self> {
        let (vote, durable) = (mark.vote(), mark.durable());
        let written = (vote, durable);
        let recorded = Recorded { vote, durable, written, epoch: 0, dirty: false, stopping: false };
        let (mark, recorded) = (Mutex::new(mark), Mutex::new(recorded));
        let handle = Arc::new(Handle { mark, recorded, changed: Condvar::new(), fuse });
        let thread = std::thread::Builder::new().name("raft-log-mark".to_owned()).spawn({
            let handle = handle.clone();
            move || handle.run()
        })?;
        Ok(Self { handle, thread: Some(thread) })
    }

    pub fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }

    /// Stops the thread. It writes the mark before only if it was about to.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.recorded().stopping = true;
            self.handle.changed.notify_all();
            if thread.join().is_err() {
                self.handle.fuse.blow("the mark writer of the Raft log panicked");
            }
        }
    }
}

impl Drop for MarkWriter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Handle {
    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        // A panic leaves the record at worst out of date, which is allowed for a mark.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn epoch(&self) -> u64 {
        self.recorded().epoch
    }

    /// Records a completed sync. A changed vote is written to the mark before this returns: votes
    /// are rare, and a forgotten vote can lead to two leaders in one term. Without one, this never
    /// waits for the disk.
    pub fn record_sync(&self, coverage: Coverage) -> io::Result<()> {
        {
            let mut recorded = self.recorded();
            recorded.vote = coverage.vote;
            if coverage.epoch == recorded.epoch {
                recorded.durable = coverage.last;
            }
            let (written_vote, written_durable) = recorded.written;
            if recorded.vote == written_vote {
                if !recorded.dirty && recorded.durable != written_durable {
                    recorded.dirty = true;
                    self.changed.notify_all();
                }
                return Ok(());
            }
        }
        self.write_recorded(&mut self.mark())
    }

    /// Lowers the mark to `last`, durably. Must be called before the entries after `last` are
    /// removed: the log may end there afterwards.
    pub fn lower(&self, last: Option<Position>) -> io::Result<()> {
        {
            let mut recorded = self.recorded();
            recorded.epoch += 1;
            if index(recorded.durable) > index(last) {
                recorded.durable = last;
            }
        }
        // A write in progress may still write the removed entries.
        let mut mark = self.mark();
        if index(mark.durable()) > index(last) { self.write_recorded(&mut mark) } else { Ok(()) }
    }

    /// Writes all that was recorded to the mark. Fails if the node has stopped: nothing is retried
    /// after a failed sync.
    pub fn write(&self) -> io::Result<()> {
        self.fuse.check()?;
        self.write_recorded(&mut self.mark())
    }

    fn write_recorded(&self, mark: &mut Mark) -> io::Result<()> {
        let (vote, durable) = {
            let mut recorded = self.recorded();
            recorded.dirty = false;
            (recorded.vote, recorded.durable)
        };
        mark.write(vote, durable)?;
        self.recorded().written = (vote, durable);
        Ok(())
    }

    /// Waits until the mark has to be written. Returns false if the writer has to stop before.
    fn wait_until_due(&self) -> bool {
        let idle = |recorded: &mut Recorded| !recorded.stopping && !recorded.dirty;
        let waited = self.changed.wait_while(self.recorded(), idle);
        let recorded = waited.unwrap_or_else(PoisonError::into_inner);
        if recorded.stopping {
            return false;
        }
        // One write covers all syncs of the period.
        let running = |recorded: &mut Recorded| !recorded.stopping;
        drop(self.changed.wait_timeout_while(recorded, MARK_PERIOD, running));
        true
    }

    fn run(&self) {
        while self.wait_until_due() {
            if self.fuse.cause().is_some() {
                return;
            }
            if let Err(error) = self.write_recorded(&mut self.mark()) {
                self.fuse.blow(Report::new(&error));
                return;
            }
        }
    }
}

fn index(position: Option<Position>) -> Option<u64> {
    position.map(|position| position.index)
}

#[cfg(test)]
mod tests;
