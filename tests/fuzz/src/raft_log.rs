//! The values in records of the Raft log. The first byte selects a position, an entry or a vote;
//! the others are the value or the body of its envelope.

use meridian_storage::codec::{self, Stored};
use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use raft_log::codeq::{Decode, Encode};

use super::envelopes::{check, seal};

/// Returns true if the bytes are the selected value.
pub fn accepts(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 3 {
        0 => record::<Position>(bytes),
        1 => contents(bytes, raft_round_trip),
        _ => contents(bytes, |_: StoredVote| {}),
    }
}

fn contents<T: Stored + Encode + Decode>(bytes: &[u8], also: impl Fn(T)) -> bool {
    let envelope = seal::<T>(bytes);
    let mut framed = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    framed.extend(envelope);
    let unchanged = record::<T>(bytes);
    let sealed = record::<T>(&framed);
    check(bytes, also) || unchanged || sealed
}

/// Decodes a value from the start of the bytes, as raft-log does; encoding and decoding it again
/// must have the same result.
fn record<T: Encode + Decode>(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let Ok(value) = T::decode(&mut rest) else { return false };
    let mut written = Vec::new();
    let length = value.encode(&mut written).expect("memory does not fail");
    assert_eq!(length, written.len());
    let mut again = &*written;
    let value = T::decode(&mut again).expect("an encoded value is readable");
    assert!(again.is_empty());
    let mut twice = Vec::new();
    value.encode(&mut twice).expect("memory does not fail");
    assert_eq!(twice, written);
    true
}

/// An entry accepted by Raft survives a round trip; others are an error.
fn raft_round_trip(entry: StoredEntry) {
    let bytes = codec::encode(&entry);
    assert!(entry.payload_bytes() <= bytes.len());
    if let Ok(raft) = entry.into_raft() {
        let back = StoredEntry::from(raft);
        let again = back.clone().into_raft().expect("the entry was accepted before");
        assert_eq!(StoredEntry::from(again), back);
    }
}
