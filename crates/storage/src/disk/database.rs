//! The seam under the derived store: an ordered map with atomic batches, durable only where synced.

use std::io;

/// A change of several keys that happens as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order; a later change of a key wins.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn insert(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.changes.iter().map(|(key, value)| key.len() + bytes(value)).sum()
    }

    /// Removes `key`; it need not be there.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }
}

/// An ordered map of bytes. Writers are serialised by their caller: one thread writes.
///
/// After any error, nothing that this object says is to be believed: the node stops.
pub trait Database: Send + Sync + 'static {
    /// Where it is, for people who read an error.
    fn place(&self) -> String;

    /// The value of `key`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Up to `limit` keys from `from` on and before `to`, in order, with their values.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// Makes all changes visible at once. After a crash they are there as a whole or not at all;
    /// that they are there is promised only after the next [`Database::sync`].
    ///
    /// # Errors
    /// If the store cannot be written.
    fn write(&self, batch: Batch) -> io::Result<()>;

    /// Returns once everything written before the call survives the loss of power.
    ///
    /// # Errors
    /// If that cannot be promised. It must not be tried again and believed.
    fn sync(&self) -> io::Result<()>;

    /// Whether writing and syncing may take long: then a thread of its own does it.
    fn blocks(&self) -> bool {
        true
    }
}
