//! The workload of the stores: each entry is a function of its position in the log, so that a check
//! knows the expected contents.

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

/// The node that owns the stores.
pub const NODE: NodeId = NodeId(7);
/// Term of a leader whose entries are never committed; they differ from all others.
pub const LOST_TERM: u64 = 2;
/// Index of the entry that raises the data version.
pub const DATA_VERSION_INDEX: u64 = 5;
/// Number of events per entry: enough for an entry to span several disk sectors.
pub const EVENTS: u64 = 12;

/// Returns the id of a log entry of this node.
#[must_use]
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id: NODE }, index }
}

/// Returns a vote for this node.
#[must_use]
pub fn vote(term: u64) -> Vote {
    Vote::new(term, NODE)
}

/// Returns the entry at a log position. The first one is blank, as that of a new leader.
#[must_use]
pub fn raft_entry(term: u64, index: u64) -> EntryOf<TypeConfig> {
    let payload = match index {
        0 => EntryPayload::Blank,
        _ => EntryPayload::Normal(Payload(Bytes::from(codec::encode(&entry(term, index))))),
    };
    EntryOf::<TypeConfig> { log_id: log_id(term, index), payload }
}

/// Returns the state after all committed entries up to `index`, and the events that led to it.
///
/// # Panics
/// If the entries do not apply in sequence, which is a bug in this module.
#[must_use]
pub fn state_at(index: u64) -> (State, Vec<Event>) {
    let mut state = State::default();
    let mut events = Vec::new();
    for index in 1..=index {
        let entry = entry(0, index);
        evolve::apply(&mut state, &entry).expect("entries apply in sequence");
        events.extend(entry.changes.into_iter().flat_map(|change| change.events));
    }
    (state, events)
}

fn entry(term: u64, index: u64) -> Entry {
    let lost = u64::from(term == LOST_TERM);
    let base = Revision((index - 1) * EVENTS);
    let event = |n: u64| {
        if (index, n) == (DATA_VERSION_INDEX, 0) {
            return Event::DataVersionRaised { version: DataVersion::SUPPORTED };
        }
        let premium_units = u16::try_from((base.0 + n + lost) % 1_000).expect("below 1,000");
        Event::LimitsSet { limits: Limits { premium_units, ..Limits::default() } }
    };
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    let request = Uuid::from_u128((u128::from(index) << 80) | version_and_variant);
    let origin = Origin::Operator {
        request: RequestId::try_from(request).expect("a UUID of version 7"),
        digest: Digest([7; 32]),
        actor: Actor::new("ada@example").expect("a valid actor"),
        reason: None,
    };
    let change =
        Change { origin, events: (0..EVENTS).map(event).collect(), verdict: Verdict::Accepted };
    Entry { base, time: Timestamp(1_000 + index), changes: vec![change] }
}
