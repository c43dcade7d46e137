//! The stored format of the derived store: everything that applying the log adds up to, as rows of
//! one [`Database`](crate::disk::database::Database).
//!
//! ```text
//! key                                        value
//! m/format                                   Format: the version of this layout
//! m/position                                 Position: the one pointer that all else hangs from
//! m/membership<part u8>                      Members, in parts: Raft's membership as last applied
//! e/<history u64><revision u64>              events, this the last: each an EventRecord, then its
//!                                            chain hash, 32 bytes
//! s/<history u64><segment u64>               SegmentEnd: the chain hash at the segment's end
//! t/<epoch u64>a<agent name>                 Agent
//!              f                             Forgotten: the greatest request id forgotten
//!              o<request id, 16 bytes>       Outcome, of those that no event tells
//!              p<service>\0<API name>   StoredApi
//!              r<region name>                Region, of those that operators defined
//!              s<service name>               Service
//!              u<service>\0<region>\0<slot u16><incarnation u64>   Unit
//!              z                             Header: last, so that it also ends a transfer
//! ```
//!
//! Numbers in keys are big-endian, so that the order of the keys is theirs. Each value but the 32
//! bytes behind an event is in the envelope of [`codec`](crate::codec).
//!
//! The chain hash of revision n is `SHA-256(chain hash of n - 1, stored EventRecord n)`, that of
//! revision 0 is zero. A segment is 4,096 events: segment 0 holds revisions 1 to 4,096. Segment
//! hashes outlive trimmed events, as the foundation of the chain of those that are left.
//!
//! The last event of a change set says all that its outcome does. So the outcome of a change that has
//! events has no row while the last of them is behind `told_after` of the position, which follows the
//! newest event at a distance ([`told`]) and is moved before events go. So most changes need no row
//! of their own.
//!
//! Rows are visible only through `m/position`: state rows of its epoch, events of its history up to
//! its revision. So a snapshot is written beside what is there, under the next number, and one small
//! batch makes it what is there. What no position points at is swept away later.
//!
//! To change the layout, raise [`FORMAT`] and convert on opening; to change a type, see `codec`. The
//! stored form of events and of state rows enters hashes that nodes compare: another form of them
//! may be written only from a data version on that all nodes have.

use std::ops::Range;

use meridian_domain::{ApiName, Digest, Revision, ServiceName, State};

mod key;
pub mod position;
mod row;
pub mod told;
pub mod touched;

pub use key::Key;
pub use row::{Forgotten, Row, RowError, StoredApi};

/// The version of the layout above.
pub const FORMAT: u32 = 3;
/// Events in a segment.
pub const SEGMENT_EVENTS: u64 = 4_096;

/// Key of the [`position::Format`].
pub const FORMAT_KEY: &[u8] = b"m/format";
/// Key of the [`position::Position`].
pub const POSITION_KEY: &[u8] = b"m/position";

const MEMBERSHIP: &[u8] = b"m/membership";
const EVENTS: &[u8] = b"e/";
const SEGMENTS: &[u8] = b"s/";
const STATE: &[u8] = b"t/";
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A range of keys, the end excluded.
pub type KeyRange = Range<Vec<u8>>;

fn key(prefix: &[u8], numbers: &[u64]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

/// The key of a part of the [`position::Members`].
#[must_use]
pub fn membership_key(part: u8) -> Vec<u8> {
    [MEMBERSHIP, &[part]].concat()
}

/// The key of an event.
#[must_use]
pub fn event_key(history: u64, revision: Revision) -> Vec<u8> {
    key(EVENTS, &[history, revision.0])
}

/// The event under whose key a row stands.
#[must_use]
pub fn event_of_key(key: &[u8]) -> Revision {
    let number = key.last_chunk().copied().unwrap_or_default();
    Revision(u64::from_be_bytes(number))
}

/// The key of a segment's hash.
#[must_use]
pub fn segment_key(history: u64, segment: u64) -> Vec<u8> {
    key(SEGMENTS, &[history, segment])
}

/// The key under which the state of `epoch` keeps a row with the key `row`.
#[must_use]
pub fn state_key(epoch: u64, row: &[u8]) -> Vec<u8> {
    let mut key = key(STATE, &[epoch]);
    key.extend_from_slice(row);
    key
}

/// Every key of the state of these epochs.
#[must_use]
pub fn state_keys(epochs: Range<u64>) -> KeyRange {
    key(STATE, &[epochs.start])..key(STATE, &[epochs.end])
}

/// Every key of the events of these histories.
#[must_use]
pub fn event_keys(histories: Range<u64>) -> KeyRange {
    key(EVENTS, &[histories.start])..key(EVENTS, &[histories.end])
}

/// Every key of the segments of these histories.
#[must_use]
pub fn segment_keys(histories: Range<u64>) -> KeyRange {
    key(SEGMENTS, &[histories.start])..key(SEGMENTS, &[histories.end])
}

/// The key of every row that `state` has, in the order of their bytes.
pub fn keys(state: &State) -> impl Iterator<Item = Key> + '_ {
    let agents = state.agents.keys().cloned().map(Key::Agent);
    let forgotten = state.outcomes.forgotten.map(|_| Key::Forgotten);
    let outcomes = state.outcomes.by_request.keys().copied().map(Key::Outcome);
    let api = |(service, api): &(ServiceName, ApiName)| Key::Api(service.clone(), api.clone());
    let apis = state.apis.keys().map(api);
    let regions = state.regions.keys().cloned().map(Key::Region);
    let services = state.services.keys().cloned().map(Key::Service);
    let units = state.units.keys().map(|(unit, number)| Key::Unit(unit.clone(), *number));
    let header = std::iter::once(Key::Header);
    agents
        .chain(forgotten)
        .chain(outcomes)
        .chain(apis)
        .chain(regions)
        .chain(services)
        .chain(units)
        .chain(header)
}

/// How many rows `state` has.
#[must_use]
pub fn count(state: &State) -> u64 {
    let forgotten = usize::from(state.outcomes.forgotten.is_some());
    let State { agents, apis, regions, services, units, .. } = state;
    let lists = [agents.len(), apis.len(), regions.len(), services.len(), units.len()];
    (lists.iter().sum::<usize>() + state.outcomes.by_request.len() + forgotten + 1) as u64
}

/// SHA-256 over every row of `state`, in order, each key and value behind its length. Equal states
/// have equal digests, on every node.
#[must_use]
pub fn digest(state: &State) -> Digest {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    for key in keys(state) {
        let value = Row::of(state, &key).value().unwrap_or_default();
        for part in [key.bytes(), value] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests;
