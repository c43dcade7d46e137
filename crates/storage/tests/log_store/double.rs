//! A journal in memory that syncs when it is told to, and fails when it is told to.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use meridian_storage::disk::journal::{Bounds, Done, Journal};

/// What a test holds of a [`Double`].
#[derive(Default, Clone)]
pub struct Controls(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    bounds: Bounds,
    entries: Vec<StoredEntry>,
    syncs: Vec<Done>,
    begun: usize,
    broken: bool,
}

/// The journal itself.
pub struct Double(pub Controls);

impl Controls {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("no test panicked")
    }

    /// Ends the syncs under way.
    pub fn end_syncs(&self, result: fn() -> io::Result<()>) {
        let syncs = std::mem::take(&mut self.inside().syncs);
        syncs.into_iter().for_each(|done| done.finish(result()));
    }

    /// Forgets the syncs under way, as a thread does that panics.
    pub fn drop_syncs(&self) {
        let syncs = std::mem::take(&mut self.inside().syncs);
        drop(syncs);
    }

    /// How many syncs were begun so far.
    pub fn begun(&self) -> usize {
        self.inside().begun
    }

    /// Makes every write fail from now on.
    pub fn break_writes(&self) {
        self.inside().broken = true;
    }
}

impl Inside {
    fn write(&mut self) -> io::Result<()> {
        if self.broken { Err(io::Error::other("no space left")) } else { Ok(()) }
    }
}

impl Journal for Double {
    fn bounds(&self) -> Bounds {
        self.0.inside().bounds
    }

    fn read(&self, range: Range<u64>, _most_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        let inside = self.0.inside();
        let wanted = inside.entries.iter().filter(|entry| range.contains(&entry.position.index));
        Ok(wanted.cloned().collect())
    }

    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()> {
        self.0.inside().write()?;
        self.0.inside().bounds.vote = Some(vote);
        Ok(())
    }

    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()> {
        let mut inside = self.0.inside();
        inside.write()?;
        inside.entries.extend(entries);
        inside.bounds.last = inside.entries.last().map(|entry| entry.position);
        Ok(())
    }

    fn save_committed(&mut self, committed: Position) -> io::Result<()> {
        self.0.inside().bounds.committed = Some(committed);
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()> {
        let mut inside = self.0.inside();
        inside.entries.retain(|entry| Some(entry.position.index) <= last.map(|last| last.index));
        inside.bounds.last = last;
        Ok(())
    }

    fn purge(&mut self, upto: Position) -> io::Result<()> {
        self.0.inside().bounds.purged = Some(upto);
        Ok(())
    }

    fn sync(&mut self, done: Done) -> io::Result<()> {
        let mut inside = self.0.inside();
        inside.begun += 1;
        inside.syncs.push(done);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
