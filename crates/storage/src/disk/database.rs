//! Storage interface of the derived store: an ordered map with atomic batches and explicit syncs.

use std::io;

/// Size in bytes up to which small records are combined into one value. More makes fewer rows, which take
/// less time to write. But a sled page has up to 16 values, and however small its cache is, it keeps the
/// newest page of each of 256 shards and those that the last 64 accesses to a shard added: with values of
/// 16 KiB, 200 MiB of them took 197 MB of memory, with 2 KiB 67 MB, with 1 KiB 63 MB and almost twice the
/// time.
pub const COMBINED_VALUE_BYTES: usize = 2 << 10;

/// Changes of several keys, applied atomically.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Changes in order: a key with its new value, or `None` to remove it. A later change of a key
    /// wins.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn insert(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Returns the total size of all keys and values in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.changes.iter().map(|(key, value)| key.len() + bytes(value)).sum()
    }

    /// Removes `key`, which may be absent.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }
}

/// Ordered map of byte strings. Writes and syncs must be serialized by the caller: only one thread
/// writes.
///
/// After any error, no further result of the object may be trusted: the node stops.
pub trait Database: Send + Sync + 'static {
    /// Returns the location of the database, for error messages.
    fn location(&self) -> String;

    /// Returns the value of `key`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Returns up to `limit` keys and values in `from..to`, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// Makes all changes visible to readers immediately. After a crash, either all or none of them
    /// are present. They are guaranteed to be present only after the next [`Database::sync`].
    ///
    /// # Errors
    /// If the store cannot be written.
    fn write(&self, batch: Batch) -> io::Result<()>;

    /// Syncs: returns after everything that was written before the call survives a power loss.
    ///
    /// # Errors
    /// If durability cannot be guaranteed. The result of a retry must not be trusted.
    fn sync(&self) -> io::Result<()>;

    /// Returns true if writing and syncing can block for long and therefore need a separate thread.
    fn blocks(&self) -> bool {
        true
    }
}
