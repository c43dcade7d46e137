//! Stored layout of the derived store: everything that results from applying the log, as rows of
//! one [`Database`](crate::disk::database::Database).
//!
//! ```text
//! key                                        value
//! m/format                                   Format: version of this layout
//! m/position                                 Position: the root, names the visible rows
//! m/membership<part u8>                      Members, in parts: last applied Raft membership
//! e/<history u64><revision u64>              consecutive events up to this revision: each an
//!                                            EventRecord, then its chain hash, 32 bytes
//! s/<history u64><segment u64>               SegmentEnd: chain hash at the end of the segment
//! t/<epoch u64>a<agent name>                 Agent
//!              f                             Forgotten: greatest forgotten request id
//!              l<agent name>                 StoredLosses
//!              n<family><address><length u8> StoredNetwork; the family is 4 or 6
//!              o<request id, 16 bytes>       Outcome, unless it is derived from an event
//!              p<service>\0<API name>        StoredApi
//!              r<region name>                Region, if defined by an operator
//!              s<service name>               Service
//!              t<region>\0<region>           StoredRoundTrip
//!              u<service>\0<region>\0<slot u16><incarnation u64>   Unit
//!              z                             Header: last, so that it ends a snapshot transfer
//! ```
//!
//! Numbers in keys are big-endian, so that keys sort by number. Each value except the 32 bytes
//! after an event is in the envelope of [`codec`](crate::codec).
//!
//! The chain hash of revision n is `SHA-256(chain hash of n - 1, stored EventRecord n)`; that of
//! revision 0 is zero. A segment is 4,096 events: segment 0 holds revisions 1 to 4,096. Segment
//! hashes are kept when their events are trimmed: the chain of the remaining events starts at one.
//!
//! # Epochs and histories
//!
//! An epoch numbers one set of state rows, a history numbers one set of events and segment hashes.
//! Both are drawn from the same counter. These rows are visible only through `m/position`, which
//! names the current epoch and history: the state rows of that epoch, and the events of that
//! history up to its revision. A snapshot is written next to the current rows, its state under the
//! next number and its events after the current ones or, if they do not continue those, under the
//! next number as well. One small batch then makes it the current one. Rows that the position does
//! not name are deleted later.
//!
//! # Derived outcomes
//!
//! The last event of a change set contains everything that the outcome of its request does. So the
//! outcome of an accepted change with events has no separate row while its last event is above the
//! outcome watermark of the position: it is derived from that event ([`outcome_watermark`]). The
//! watermark follows the newest event at a distance, and is raised before events are trimmed. Most
//! changes therefore never need an outcome row.
//!
//! # Upgrades
//!
//! To change the layout, raise [`FORMAT`] and convert when opening; to change a type, see `codec`.
//! The stored forms of events and of state rows are input of hashes that nodes compare: a new form
//! may be written only from a data version on that all nodes support.

use std::ops::Range;

use meridian_domain::{ApiName, Digest, RegionName, Revision, ServiceName, State, limits};

mod key;
pub mod outcome_watermark;
pub mod position;
mod row;
pub mod touched;

pub use key::Key;
pub use row::{Forgotten, Row, RowError, StoredApi, StoredLosses, StoredNetwork, StoredRoundTrip};

/// Version of the layout above.
pub const FORMAT: u32 = 3;
/// Number of events in a segment. Part of the layout: a change needs a new [`FORMAT`].
pub const SEGMENT_EVENTS: u64 = limits::SEGMENT_EVENTS;

/// Key of [`position::Format`].
pub const FORMAT_KEY: &[u8] = b"m/format";
/// Key of [`position::Position`].
pub const POSITION_KEY: &[u8] = b"m/position";

const MEMBERSHIP: &[u8] = b"m/membership";
const EVENTS: &[u8] = b"e/";
const SEGMENTS: &[u8] = b"s/";
const STATE: &[u8] = b"t/";
/// Size of a hash in bytes.
pub const HASH_BYTES: usize = 32;

/// Range of keys, the end excluded.
pub type KeyRange = Range<Vec<u8>>;

fn key(prefix: &[u8], numbers: &[u64]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

/// Returns the key of one part of [`position::Members`].
#[must_use]
pub fn membership_key(part: u8) -> Vec<u8> {
    [MEMBERSHIP, &[part]].concat()
}

/// Returns the key of the row whose last event is `revision`.
#[must_use]
pub fn event_key(history: u64, revision: Revision) -> Vec<u8> {
    key(EVENTS, &[history, revision.0])
}

/// Returns the revision in the key of an event row: its last event.
#[must_use]
pub fn event_of_key(key: &[u8]) -> Revision {
    let number = key.last_chunk().copied().unwrap_or_default();
    Revision(u64::from_be_bytes(number))
}

/// Returns the key of the hash of a segment.
#[must_use]
pub fn segment_key(history: u64, segment: u64) -> Vec<u8> {
    key(SEGMENTS, &[history, segment])
}

/// Returns the key of a state row: `row` is its key without the epoch.
#[must_use]
pub fn state_key(epoch: u64, row: &[u8]) -> Vec<u8> {
    let mut key = key(STATE, &[epoch]);
    key.extend_from_slice(row);
    key
}

/// Returns the range of the state rows of these epochs.
#[must_use]
pub fn state_keys(epochs: Range<u64>) -> KeyRange {
    key(STATE, &[epochs.start])..key(STATE, &[epochs.end])
}

/// Returns the range of the event rows of these histories.
#[must_use]
pub fn event_keys(histories: Range<u64>) -> KeyRange {
    key(EVENTS, &[histories.start])..key(EVENTS, &[histories.end])
}

/// Returns the range of the segment hashes of these histories.
#[must_use]
pub fn segment_keys(histories: Range<u64>) -> KeyRange {
    key(SEGMENTS, &[histories.start])..key(SEGMENTS, &[histories.end])
}

/// Returns the keys of all rows of `state`, in byte order. Outcomes without a separate row are
/// included.
pub fn keys(state: &State) -> impl Iterator<Item = Key> + '_ {
    let agents = state.agents.keys().cloned().map(Key::Agent);
    let forgotten = state.outcomes.forgotten.map(|_| Key::Forgotten);
    let losses = state.losses.keys().cloned().map(Key::Losses);
    let networks = state.networks.keys().copied().map(Key::Network);
    let outcomes = state.outcomes.by_request.keys().copied().map(Key::Outcome);
    let api = |(service, api): &(ServiceName, ApiName)| Key::Api(service.clone(), api.clone());
    let apis = state.apis.keys().map(api);
    let regions = state.regions.keys().cloned().map(Key::Region);
    let services = state.services.keys().cloned().map(Key::Service);
    let pair = |(one, other): &(RegionName, RegionName)| Key::RoundTrip(one.clone(), other.clone());
    let round_trips = state.round_trips.keys().map(pair);
    let units = state.units.keys().map(|(unit, number)| Key::Unit(unit.clone(), *number));
    let header = std::iter::once(Key::Header);
    agents
        .chain(forgotten)
        .chain(losses)
        .chain(networks)
        .chain(outcomes)
        .chain(apis)
        .chain(regions)
        .chain(services)
        .chain(round_trips)
        .chain(units)
        .chain(header)
}

/// Returns the number of rows of `state`, including outcomes that are not stored in a row.
#[must_use]
pub fn count(state: &State) -> u64 {
    let forgotten = usize::from(state.outcomes.forgotten.is_some());
    // All fields, so that a new one is not left out.
    let State {
        header: _,
        services,
        apis,
        units,
        agents,
        losses,
        regions,
        networks,
        round_trips,
        outcomes,
    } = state;
    let operators = [services.len(), apis.len(), regions.len(), networks.len()];
    let observed = [agents.len(), units.len(), losses.len(), round_trips.len()];
    let lists = operators.iter().chain(&observed).sum::<usize>();
    (lists + outcomes.by_request.len() + forgotten + 1) as u64
}

/// Returns SHA-256 over all rows of `state`, in order, each key and value prefixed with its length.
/// Equal states have equal digests on every node.
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
