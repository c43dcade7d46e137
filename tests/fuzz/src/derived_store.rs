//! The rows of a derived store. Each row has the lengths of its key and its value, two bytes each,
//! little-endian, followed by both.

use meridian_storage::disk::database::{Batch, Database};
use meridian_storage::disk::memory_database::MemoryDatabase;

use super::envelopes::fix_envelope;
use super::environment::{Node, RUNTIME};

/// Size of the hash after an event.
const HASH_BYTES: usize = 32;

/// Returns true if a node opens a store with these rows.
pub fn accepts(data: &[u8]) -> bool {
    let rows = rows(data);
    let fixed = rows.iter().cloned().map(|(key, mut value)| {
        let hash = if key.starts_with(b"e/") { HASH_BYTES } else { 0 };
        let envelope = value.len().saturating_sub(hash);
        fix_envelope(&mut value[..envelope]);
        (key, value)
    });
    let fixed = fixed.collect();
    opens(rows) | opens(fixed)
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
    database.write(batch).and_then(|()| database.sync()).expect("memory does not fail");
    let Ok(node) = Node::open(&database) else { return false };
    let store = &node.store;
    let (revision, _) = store.chain();
    assert_eq!(store.position().0, revision, "state and events have different revisions");
    // Events are decoded when they are read: that may return an error, but must not panic.
    drop(store.verify_history());
    drop(store.events(meridian_domain::Revision(1), usize::MAX));
    RUNTIME.block_on(store.close()).expect("memory does not fail");
    true
}
