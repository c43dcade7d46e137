//! What the records of the Raft log carry: the first byte chooses between a position, an entry and a
//! vote, the others are it, or the body of it.

use meridian_storage::codec::{self, Stored};
use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use raft_log::codeq::{Decode, Encode};

use super::sealed::{check, seal};

/// Whether the bytes are the contents of a record.
pub fn understands(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 3 {
        0 => record::<Position>(bytes),
        1 => contents(bytes, enters_raft),
        _ => contents(bytes, |_: StoredVote| {}),
    }
}

fn contents<T: Stored + Encode + Decode>(bytes: &[u8], also: impl Fn(T)) -> bool {
    let envelope = seal::<T>(bytes);
    let mut framed = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    framed.extend(envelope);
    let as_it_is = record::<T>(bytes);
    let sealed = record::<T>(&framed);
    check(bytes, also) || as_it_is || sealed
}

/// Reads a value as raft-log does, from the front; what is written of it must be what was read.
fn record<T: Encode + Decode>(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let Ok(value) = T::decode(&mut rest) else { return false };
    let mut written = Vec::new();
    let length = value.encode(&mut written).expect("memory takes everything");
    assert_eq!(length, written.len());
    let mut again = &*written;
    let value = T::decode(&mut again).expect("what was written can be read");
    assert!(again.is_empty());
    let mut twice = Vec::new();
    value.encode(&mut twice).expect("memory takes everything");
    assert_eq!(twice, written);
    true
}

/// What Raft makes of an entry comes back as the same; what it does not take is an error.
fn enters_raft(entry: StoredEntry) {
    let bytes = codec::encode(&entry);
    assert!(entry.payload_bytes() <= bytes.len());
    if let Ok(taken) = entry.into_raft() {
        let back = StoredEntry::from(taken);
        let again = back.clone().into_raft().expect("Raft took it before");
        assert_eq!(StoredEntry::from(again), back);
    }
}
