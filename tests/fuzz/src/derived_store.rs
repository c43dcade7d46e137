//! The rows of a derived store: for each the lengths of its key and its value in two bytes each,
//! little-endian, then both.

use meridian_storage::disk::database::{Batch, Database};
use meridian_storage::disk::memory_database::MemoryDatabase;

use super::sealed::mend;
use super::world::{Node, RUNTIME};

/// Bytes of the hash behind an event.
const HASH_BYTES: usize = 32;

/// Whether a node opens a store with these rows.
pub fn understands(data: &[u8]) -> bool {
    let rows = rows(data);
    let mended = rows.iter().cloned().map(|(key, mut value)| {
        let hash = if key.starts_with(b"e/") { HASH_BYTES } else { 0 };
        let envelope = value.len().saturating_sub(hash);
        mend(&mut value[..envelope]);
        (key, value)
    });
    let mended = mended.collect();
    opens(rows) | opens(mended)
}

fn rows(mut data: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    while let Some((lengths, rest)) = data.split_first_chunk::<4>() {
        let key = usize::from(u16::from_le_bytes([lengths[0], lengths[1]])).min(rest.len());
        let (key, rest) = rest.split_at(key);
        let value = usize::from(u16::from_le_bytes([lengths[2], lengths[3]])).min(rest.len());
        let (value, rest) = rest.split_at(value);
        rows.push((key.to_vec(), value.to_vec()));
        data = rest;
    }
    rows
}

fn opens(rows: Vec<(Vec<u8>, Vec<u8>)>) -> bool {
    let database = MemoryDatabase::new();
    let mut batch = Batch::default();
    rows.into_iter().for_each(|(key, value)| batch.insert(key, value));
    database.write(batch).and_then(|()| database.sync()).expect("memory takes everything");
    let Ok(node) = Node::open(&database) else { return false };
    let store = &node.store;
    let (revision, _) = store.chain();
    assert_eq!(store.position().0, revision, "state and events are of different revisions");
    // Events are decoded when they are read: that may fail, and nothing else may happen.
    drop(store.verify_history());
    drop(store.events(meridian_domain::Revision(1), usize::MAX));
    RUNTIME.block_on(store.close()).expect("memory takes everything");
    true
}
