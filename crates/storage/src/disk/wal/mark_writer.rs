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
#[derive(Debug)]
pub(super) struct Handle {
    state: Mutex<State>,
    changed: Condvar,
    fuse: Fuse,
}

#[derive(Debug)]
struct State {
    mark: Mark,
    /// Durable vote, to be written to the mark.
    vote: Option<StoredVote>,
    /// Last durable entry, to be written to the mark.
    durable: Option<Position>,
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
        let state = State { mark, vote, durable, epoch: 0, dirty: false, stopping: false };
        let handle = Arc::new(Handle { state: Mutex::new(state), changed: Condvar::new(), fuse });
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
            self.handle.lock().stopping = true;
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
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves the state at worst out of date, which is allowed for a mark.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Records a completed sync. A changed vote is written to the mark before this returns: votes
    /// are rare, and a forgotten vote can lead to two leaders in one term.
    pub fn record_sync(&self, coverage: Coverage) -> io::Result<()> {
        let mut state = self.lock();
        state.vote = coverage.vote;
        if coverage.epoch == state.epoch {
            state.durable = coverage.last;
        }
        if state.vote != state.mark.vote() {
            state.write()?;
        } else if !state.dirty && state.durable != state.mark.durable() {
            state.dirty = true;
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Lowers the mark to `last`, durably. Must be called before the entries after `last` are
    /// removed: the log may end there afterwards.
    pub fn lower(&self, last: Option<Position>) -> io::Result<()> {
        let mut state = self.lock();
        state.epoch += 1;
        if index(state.durable) > index(last) {
            state.durable = last;
        }
        if index(state.mark.durable()) > index(last) {
            state.write()?;
        }
        Ok(())
    }

    /// Writes all that was recorded to the mark. Fails if the node has stopped: nothing is retried
    /// after a failed sync.
    pub fn write(&self) -> io::Result<()> {
        self.fuse.check()?;
        self.lock().write()
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.stopping {
            if !state.dirty {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // One write covers all syncs of the period.
            let running = |state: &mut State| !state.stopping;
            state = match self.changed.wait_timeout_while(state, MARK_PERIOD, running) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
            if self.fuse.cause().is_some() {
                return;
            }
            if let Err(error) = state.write() {
                self.fuse.blow(Report::new(&error));
                return;
            }
        }
    }
}

impl State {
    fn write(&mut self) -> io::Result<()> {
        self.dirty = false;
        Ok(self.mark.write(self.vote, self.durable)?)
    }
}

fn index(position: Option<Position>) -> Option<u64> {
    position.map(|position| position.index)
}
