//! In-memory journal whose syncs and failures are controlled by the test.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use meridian_storage::disk::journal::{Bounds, Journal, SyncCallback};

/// Controls of a [`Double`].
#[derive(Default, Clone)]
pub struct Controls(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    bounds: Bounds,
    entries: Vec<StoredEntry>,
    syncs: Vec<SyncCallback>,
    started: usize,
    broken: bool,
    append_held: Option<mpsc::Receiver<()>>,
    close_held: Option<mpsc::Receiver<()>>,
}

/// Maximum time that a held call waits for its release.
const HOLD_TIMEOUT: Duration = Duration::from_secs(10);

/// Journal controlled through its [`Controls`].
pub struct Double(pub Controls);

impl Controls {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics while it holds the lock")
    }

    /// Completes the syncs in flight with `result`.
    pub fn complete_syncs(&self, result: fn() -> io::Result<()>) {
        let syncs = std::mem::take(&mut self.inner().syncs);
        syncs.into_iter().for_each(|done| done.complete(result()));
    }

    /// Drops the callbacks of the syncs in flight, like a thread that panics.
    pub fn drop_syncs(&self) {
        let syncs = std::mem::take(&mut self.inner().syncs);
        drop(syncs);
    }

    /// Returns the number of syncs started so far.
    pub fn started(&self) -> usize {
        self.inner().started
    }

    /// Makes the next append block its thread until the returned sender is used.
    pub fn hold_append(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel();
        self.inner().append_held = Some(held);
        release
    }

    /// Returns true once an append blocks its thread.
    pub fn append_started(&self) -> bool {
        self.inner().append_held.is_none()
    }

    /// Makes closing block its thread until the returned sender is used.
    pub fn hold_close(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel();
        self.inner().close_held = Some(held);
        release
    }

    /// Returns true if the journal was not dropped.
    pub fn journal_exists(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Makes all further writes fail.
    pub fn break_writes(&self) {
        self.inner().broken = true;
    }
}

impl Inner {
    fn write(&mut self) -> io::Result<()> {
        if self.broken { Err(io::Error::other("no space left")) } else { Ok(()) }
    }
}

impl Journal for Double {
    fn bounds(&self) -> Bounds {
        self.0.inner().bounds
    }

    fn read(&self, range: Range<u64>, _most_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        let inner = self.0.inner();
        let wanted = inner.entries.iter().filter(|entry| range.contains(&entry.position.index));
        Ok(wanted.cloned().collect())
    }

    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()> {
        self.0.inner().write()?;
        self.0.inner().bounds.vote = Some(vote);
        Ok(())
    }

    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()> {
        let held = self.0.inner().append_held.take();
        held.map_or(Ok(()), |held| held.recv_timeout(HOLD_TIMEOUT).map_err(io::Error::other))?;
        let mut inner = self.0.inner();
        inner.write()?;
        inner.entries.extend(entries);
        inner.bounds.last = inner.entries.last().map(|entry| entry.position);
        Ok(())
    }

    fn save_committed(&mut self, committed: Position) -> io::Result<()> {
        self.0.inner().bounds.committed = Some(committed);
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()> {
        let mut inner = self.0.inner();
        inner.entries.retain(|entry| Some(entry.position.index) <= last.map(|last| last.index));
        inner.bounds.last = last;
        Ok(())
    }

    fn purge(&mut self, upto: Position) -> io::Result<()> {
        self.0.inner().bounds.purged = Some(upto);
        Ok(())
    }

    fn sync(&mut self, done: SyncCallback) -> io::Result<()> {
        let mut inner = self.0.inner();
        inner.started += 1;
        inner.syncs.push(done);
        Ok(())
    }

    fn write_blocks(&self, _records: usize, _bytes: usize) -> bool {
        self.0.inner().append_held.is_some()
    }

    fn close(&mut self) -> io::Result<()> {
        let held = self.0.inner().close_held.take();
        held.map_or(Ok(()), |held| held.recv_timeout(HOLD_TIMEOUT).map_err(io::Error::other))
    }
}
