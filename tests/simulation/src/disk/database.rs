//! The derived database: in memory, without blocking.

use std::io;

use meridian_storage::disk::database::{Batch, Database};
use meridian_storage::disk::memory_database::MemoryDatabase;

/// A database that can lose unsynced batches, and whose writer needs no thread.
#[derive(Debug, Clone, Default)]
pub struct SimDatabase(MemoryDatabase);

impl SimDatabase {
    /// Keeps the first `batches` unsynced batches.
    pub(super) fn crash(&self, batches: usize) {
        self.0.crash_keeping(batches);
    }
}

impl Database for SimDatabase {
    fn location(&self) -> String {
        self.0.location()
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.0.scan(from, to, limit)
    }

    fn write(&self, batch: Batch) -> io::Result<()> {
        self.0.write(batch)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn blocks(&self) -> bool {
        false
    }
}
