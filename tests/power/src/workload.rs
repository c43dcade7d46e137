//! What the stores are filled with: entries that follow from their place in the log alone, so that
//! whoever opens a directory knows what must be in it.

use bytes::Bytes;
use meridian_domain::limits::Limits;
use meridian_domain::{
    Actor, Change, DataVersion, Digest, Entry, Event, NodeId, Origin, RequestId, Revision, State,
    Timestamp, Verdict, evolve,
};
use meridian_storage::codec;
use meridian_storage::raft::{LogId, Payload, TypeConfig, Vote};
use openraft::EntryPayload;
use openraft::alias::EntryOf;
use openraft::impls::leader_id_adv::LeaderId;
use uuid::Uuid;

/// The node whose stores these are.
pub const NODE: NodeId = NodeId(7);
/// The term of a leader whose entries are never committed: they differ from all others.
pub const LOST_TERM: u64 = 2;
/// The index of the entry with which the data version rises.
pub const RAISING: u64 = 5;
/// Events in each entry: enough that an entry takes several sectors of a disk.
pub const EVENTS: u64 = 12;

/// A place in the log.
#[must_use]
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id: NODE }, index }
}

/// A vote for this node.
#[must_use]
pub fn vote(term: u64) -> Vote {
    Vote::new(term, NODE)
}

/// The entry at that place: the first says nothing, as that of a new leader.
#[must_use]
pub fn raft_entry(term: u64, index: u64) -> EntryOf<TypeConfig> {
    let payload = match index {
        0 => EntryPayload::Blank,
        _ => EntryPayload::Normal(Payload(Bytes::from(codec::encode(&entry(term, index))))),
    };
    EntryOf::<TypeConfig> { log_id: log_id(term, index), payload }
}

/// The state once all committed entries up to `index` were applied, and all events that led to it.
///
/// # Panics
/// If the entries do not follow on each other, which is a mistake in this file.
#[must_use]
pub fn state_at(index: u64) -> (State, Vec<Event>) {
    let mut state = State::default();
    let mut events = Vec::new();
    for index in 1..=index {
        let entry = entry(0, index);
        evolve::apply(&mut state, &entry).expect("entries follow on each other");
        events.extend(entry.changes.into_iter().flat_map(|change| change.events));
    }
    (state, events)
}

fn entry(term: u64, index: u64) -> Entry {
    let lost = u64::from(term == LOST_TERM);
    let base = Revision((index - 1) * EVENTS);
    let event = |n: u64| {
        if (index, n) == (RAISING, 0) {
            return Event::DataVersionRaised { version: DataVersion::SUPPORTED };
        }
        let premium_units = u16::try_from((base.0 + n + lost) % 1_000).expect("is below 1,000");
        Event::LimitsSet { limits: Limits { premium_units, ..Limits::default() } }
    };
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    let request = Uuid::from_u128((u128::from(index) << 80) | version_and_variant);
    let origin = Origin::Operator {
        request: RequestId::try_from(request).expect("its version is 7"),
        digest: Digest([7; 32]),
        actor: Actor::new("ada@example").expect("is a name"),
        reason: None,
    };
    let change =
        Change { origin, events: (0..EVENTS).map(event).collect(), verdict: Verdict::Accepted };
    Entry { base, time: Timestamp(1_000 + index), changes: vec![change] }
}
