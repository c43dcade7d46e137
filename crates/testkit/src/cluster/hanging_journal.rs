//! Raft log whose syncs can hang.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use meridian_storage::disk::journal::{Bounds, Journal, SyncCallback};

/// Lets the syncs of a Raft log hang. Cheap to clone; all clones share one state.
#[derive(Debug, Clone, Default)]
pub struct SyncHold(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holding: bool,
    /// Completed syncs whose results are held back.
    held: Vec<(SyncCallback, io::Result<()>)>,
}

impl SyncHold {
    /// Holds back the results of all syncs that have not completed yet.
    pub fn hold(&self) {
        self.state().holding = true;
    }

    /// Lets the held and all further syncs complete.
    pub fn release(&self) {
        let held = {
            let mut state = self.state();
            state.holding = false;
            std::mem::take(&mut state.held)
        };
        // As by the writer of the log: not on a thread of the runtime.
        std::thread::spawn(move || {
            held.into_iter().for_each(|(done, result)| done.complete(result))
        });
    }

    /// Returns true if the result of a sync is held back.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.state().held.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Raft log that behaves like the inner one, except that its syncs can hang.
pub(super) struct HangingJournal<J> {
    pub inner: J,
    pub hold: SyncHold,
}

impl<J: Journal> Journal for HangingJournal<J> {
    fn bounds(&self) -> Bounds {
        self.inner.bounds()
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        self.inner.read(range, max_bytes)
    }

    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()> {
        self.inner.save_vote(vote)
    }

    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()> {
        self.inner.append(entries)
    }

    fn save_committed(&mut self, committed: Position) -> io::Result<()> {
        self.inner.save_committed(committed)
    }

    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()> {
        self.inner.truncate_after(last)
    }

    fn purge(&mut self, upto: Position) -> io::Result<()> {
        self.inner.purge(upto)
    }

    fn sync(&mut self, done: SyncCallback) -> io::Result<()> {
        let hold = self.hold.clone();
        self.inner.sync(SyncCallback::new(move |result| {
            let mut state = hold.state();
            if state.holding {
                state.held.push((done, result));
            } else {
                drop(state);
                done.complete(result);
            }
        }))
    }

    fn write_blocks(&self, records: usize, bytes: usize) -> bool {
        self.inner.write_blocks(records, bytes)
    }

    fn close(&mut self) -> io::Result<()> {
        self.inner.close()
    }

    fn blocks(&self) -> bool {
        self.inner.blocks()
    }
}
