//! Moves the mark while the log is written, without a sync of its own per append.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::disk::durable::with_causes;
use crate::disk::entry::{Position, StoredVote};
use crate::disk::mark::Mark;
use crate::fuse::Fuse;

/// How far the mark may fall behind a log that is written all the time.
const MARK_PERIOD: Duration = Duration::from_secs(1);

/// The thread that moves the mark when entries became durable.
#[derive(Debug)]
pub(super) struct Keeper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// The mark, and what the log's own threads note for it.
#[derive(Debug)]
pub(super) struct Desk {
    note: Mutex<Note>,
    changed: Condvar,
    fuse: Fuse,
}

#[derive(Debug)]
struct Note {
    mark: Mark,
    vote: Option<StoredVote>,
    durable: Option<Position>,
    /// Raised by a truncation: a sync that began before it says nothing about what came after.
    epoch: u64,
    behind: bool,
    stopping: bool,
}

/// What a sync will have made durable when it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coverage {
    pub vote: Option<StoredVote>,
    pub last: Option<Position>,
    pub epoch: u64,
}

impl Keeper {
    pub fn start(mark: Mark, fuse: Fuse) -> io::Result<Self> {
        let (vote, durable) = (mark.vote(), mark.durable());
        let note = Note { mark, vote, durable, epoch: 0, behind: false, stopping: false };
        let desk = Arc::new(Desk { note: Mutex::new(note), changed: Condvar::new(), fuse });
        let thread = std::thread::Builder::new().name("raft-log-mark".to_owned()).spawn({
            let desk = desk.clone();
            move || desk.keep()
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    pub fn desk(&self) -> Arc<Desk> {
        self.desk.clone()
    }

    /// Ends the thread. The mark stays where it is.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.desk.lock().stopping = true;
            self.desk.changed.notify_all();
            if thread.join().is_err() {
                self.desk.fuse.blow("the keeper of the Raft log's mark panicked");
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Note> {
        // What a panicking thread leaves here is at worst out of date, which a mark may be.
        self.note.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Takes note of a sync that is done. A vote moves the mark before this returns: votes are
    /// rare, and a forgotten one can elect two leaders.
    pub fn synced(&self, coverage: Coverage) -> io::Result<()> {
        let mut note = self.lock();
        note.vote = coverage.vote;
        if coverage.epoch == note.epoch {
            note.durable = coverage.last;
        }
        if note.vote != note.mark.vote() {
            note.write()?;
        } else if !note.behind && note.durable != note.mark.durable() {
            note.behind = true;
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Pulls the mark back, durably, before entries behind `last` are removed: afterwards the log
    /// may rightly end there.
    pub fn retreat(&self, last: Option<Position>) -> io::Result<()> {
        let mut note = self.lock();
        note.epoch += 1;
        if index(note.durable) > index(last) {
            note.durable = last;
        }
        if index(note.mark.durable()) > index(last) {
            note.write()?;
        }
        Ok(())
    }

    /// Moves the mark to all that was noted; not once the node has stopped, for after a failed sync
    /// nothing is tried again.
    pub fn write(&self) -> io::Result<()> {
        match self.fuse.cause() {
            None => self.lock().write(),
            Some(cause) => Err(io::Error::other(format!("this node has stopped: {cause}"))),
        }
    }

    fn keep(&self) {
        let mut note = self.lock();
        while !note.stopping {
            if !note.behind {
                note = self.changed.wait(note).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            // The wait collects what is synced meanwhile into one write.
            let stopped = |note: &mut Note| !note.stopping;
            note = match self.changed.wait_timeout_while(note, MARK_PERIOD, stopped) {
                Ok((note, _)) => note,
                Err(poisoned) => poisoned.into_inner().0,
            };
            if self.fuse.cause().is_some() {
                return;
            }
            if let Err(error) = note.write() {
                self.fuse.blow(with_causes(&error));
                return;
            }
        }
    }
}

impl Note {
    fn write(&mut self) -> io::Result<()> {
        self.behind = false;
        Ok(self.mark.write(self.vote, self.durable)?)
    }
}

fn index(position: Option<Position>) -> Option<u64> {
    position.map(|position| position.index)
}
