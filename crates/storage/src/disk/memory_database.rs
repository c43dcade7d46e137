//! In-memory database with simulated power loss, for tests.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::database::{Batch, Database};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Ordered map that loses unsynced writes when its power is cut. Clones share one database.
#[derive(Debug, Clone, Default)]
pub struct MemoryDatabase {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: Rows,
    durable: Rows,
    unsynced: Vec<Batch>,
    steps: usize,
    power_ends_at: Option<usize>,
}

impl Inner {
    /// Counts a write or sync; fails if the power is cut.
    fn step(&mut self) -> io::Result<()> {
        self.powered()?;
        self.steps += 1;
        Ok(())
    }

    fn powered(&self) -> io::Result<()> {
        match self.power_ends_at {
            Some(end) if self.steps >= end => Err(io::Error::other("the power was cut")),
            _ => Ok(()),
        }
    }
}

impl MemoryDatabase {
    /// Creates an empty database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an independent database with the same rows, all of them durable: a copy of the disk.
    #[must_use]
    pub fn copy(&self) -> Self {
        let rows = self.inner().rows.clone();
        let inner = Inner { durable: rows.clone(), rows, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Returns the number of writes and syncs so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.inner().steps
    }

    /// Cuts the power after `steps` more writes and syncs. From then on every operation fails until
    /// [`MemoryDatabase::crash`].
    pub fn cut_power_after(&self, steps: usize) {
        let mut inner = self.inner();
        inner.power_ends_at = Some(inner.steps + steps);
    }

    /// Simulates a power loss and a restart: unsynced writes are lost.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// Like [`MemoryDatabase::crash`], but the first `batches` of the unsynced batches survive.
    pub fn crash_keeping(&self, batches: usize) {
        let mut inner = self.inner();
        let unsynced = std::mem::take(&mut inner.unsynced);
        for batch in unsynced.into_iter().take(batches) {
            apply(&mut inner.durable, batch);
        }
        inner.rows = inner.durable.clone();
        inner.power_ends_at = None;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics while it holds the lock")
    }
}

fn apply(rows: &mut Rows, batch: Batch) {
    for (key, value) in batch.changes {
        match value {
            Some(value) => drop(rows.insert(key, value)),
            None => drop(rows.remove(&key)),
        }
    }
}

impl Database for MemoryDatabase {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let inner = self.inner();
        inner.powered()?;
        Ok(inner.rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let inner = self.inner();
        inner.powered()?;
        if from >= to {
            return Ok(Vec::new());
        }
        let range = inner.rows.range(from.to_vec()..to.to_vec());
        Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn write(&self, batch: Batch) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        apply(&mut inner.rows, batch.clone());
        inner.unsynced.push(batch);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        for batch in std::mem::take(&mut inner.unsynced) {
            apply(&mut inner.durable, batch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str) -> Batch {
        let mut batch = Batch::default();
        batch.insert(key, "value");
        batch
    }

    fn has(database: &MemoryDatabase, key: &str) -> bool {
        database.get(key.as_bytes()).expect("the power is on").is_some()
    }

    #[test]
    fn only_synced_writes_survive_a_power_loss() {
        let database = MemoryDatabase::new();
        database.write(one("a")).expect("the power is on");
        database.sync().expect("the power is on");
        database.write(one("b")).expect("the power is on");
        database.write(one("c")).expect("the power is on");
        database.cut_power_after(0);
        assert!(database.write(one("d")).is_err());
        assert!(database.get(b"a").is_err());
        database.crash_keeping(1);
        assert!(has(&database, "a") && has(&database, "b") && !has(&database, "c"));
        database.crash();
        assert!(has(&database, "b"), "what survived a crash is durable");
    }
}
