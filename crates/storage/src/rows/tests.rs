use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::api::Timeouts;
use meridian_domain::state::Header;
use meridian_domain::{
    Api, Change, Entry, Incarnation, NodeId, Origin, RegionName, RequestId, ServiceName, Timestamp,
    UnitId, Verdict, evolve, limits,
};
use uuid::Uuid;

use super::position::{Format, LogPosition, Members, Position, SegmentEnd};
use super::*;
use crate::codec::{self, Stored};
use crate::disk::database::{Batch, Database};
use crate::disk::memory_database::MemoryDatabase;
use crate::event_log::StoredEvent;
use crate::raft::Member;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden<T: Stored + PartialEq + std::fmt::Debug>(value: &T, expected: &str) {
    let bytes = codec::encode(value);
    assert_eq!(hex(&bytes), expected, "{}: the stored form must not change", T::NAME);
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
}

fn request(number: u128) -> RequestId {
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    Uuid::from_u128(number << 80 | version_and_variant).try_into().expect("is version 7")
}

fn log_position() -> LogPosition {
    LogPosition { term: 2, leader: NodeId(3), index: 4 }
}

#[test]
fn the_stored_form_of_the_format_is_stable() {
    golden(&Format { version: 1 }, "4d52444e01001e0004000000c452e1e501000000");
}

#[test]
fn the_stored_form_of_the_position_is_stable() {
    let position = Position {
        epoch: 1,
        history: 2,
        applied: Some(log_position()),
        installed: Some(5),
        revision: Revision(6),
        chain: Digest([7; 32]),
        rows: 8,
        outcome_watermark: Revision(9),
    };
    golden(
        &position,
        "4d52444e02001f006a0000003df49f5e010000000000000002000000000000000102000000000000\
         00030000000000000004000000000000000105000000000000000600000000000000070707070707\
         07070707070707070707070707070707070707070707070707070800000000000000090000000000\
         0000",
    );
}

#[test]
fn the_stored_form_of_the_membership_is_stable() {
    let member = Member { address: "a:1".parse().expect("is an address") };
    let members = Members {
        log: Some(log_position()),
        voters: vec![BTreeSet::from([NodeId(3)])],
        nodes: BTreeMap::from([(NodeId(3), member)]),
    };
    golden(
        &members,
        "4d52444e010020004c00000092139d6b010200000000000000030000000000000004000000000000\
         00010000000000000001000000000000000300000000000000010000000000000003000000000000\
         000300000000000000613a31",
    );
}

#[test]
fn a_membership_of_any_size_is_split_into_small_values() {
    let database = MemoryDatabase::new();
    assert_eq!(Members::read(&database).expect("can be read"), None);
    let address = format!("{}:7401", "a".repeat(250));
    let member = Member { address: address.parse().expect("is an address") };
    for count in [limits::AGENTS as u64, 1] {
        let nodes = (1..=count).map(|id| (NodeId(id), member.clone())).collect();
        let members = Members { log: Some(log_position()), voters: Vec::new(), nodes };
        let mut batch = Batch::default();
        members.write(&mut batch);
        let sizes = batch.changes.iter().filter_map(|(_, value)| value.as_ref().map(Vec::len));
        assert!(sizes.clone().all(|bytes| bytes < 64 << 10) && (sizes.count() > 1) == (count > 1));
        database.write(batch).expect("can be written");
        assert_eq!(Members::read(&database).expect("can be read"), Some(Ok(members)));
    }
}

#[test]
fn the_stored_form_of_a_segment_end_is_stable() {
    golden(
        &SegmentEnd { chain: Digest([9; 32]) },
        "4d52444e01002100200000009de5c076090909090909090909090909090909090909090909090909\
         0909090909090909",
    );
}

#[test]
fn the_stored_form_of_the_forgotten_request_is_stable() {
    golden(
        &Forgotten { request: request(1) },
        "4d52444e01002200180000009477ae7c100000000000000000000000000170008000000000000000",
    );
}

#[test]
fn the_stored_form_of_an_api_is_stable() {
    let backend = "http://a".parse().expect("is a backend");
    let api = Api {
        name: "orders".parse().expect("is a name"),
        path: "/orders".parse().expect("is a path"),
        backend,
        regional: BTreeMap::new(),
        timeouts: Timeouts { connect_ms: 1, response_ms: 2, idle_ms: 3 },
    };
    golden(
        &StoredApi { service: "contoso".parse().expect("is a name"), api },
        "4d52444e0100230050000000b7c831920700000000000000636f6e746f736f06000000000000006f\
         726465727307000000000000002f6f72646572730800000000000000687474703a2f2f6100000000\
         00000000010000000200000003000000",
    );
}

#[test]
fn the_chain_hash_of_events_is_stable() {
    let first = StoredEvent::following(&Digest::default(), b"first".to_vec());
    let second = StoredEvent::following(&first.chain(), b"second".to_vec());
    let expected = "de1e86981ce97f7ca334a50ce77d42ace7c020d4c3d4dd9aa6185f4fd8bf40a0";
    assert_eq!(hex(second.row()), [hex(b"second").as_str(), expected].concat());
}

#[test]
fn keys_match_the_documented_layout() {
    assert_eq!(hex(&event_key(1, Revision(2))), "652f00000000000000010000000000000002");
    assert_eq!(hex(&segment_key(1, 2)), "732f00000000000000010000000000000002");
    let service = ServiceName::new("contoso").expect("is a name");
    let region = RegionName::new("westeurope").expect("is a name");
    let unit = UnitId { service: service.clone(), region, slot: 3 };
    let key = Key::Unit(unit, Incarnation(4)).bytes();
    assert_eq!(key, b"ucontoso\0westeurope\0\0\x03\0\0\0\0\0\0\0\x04");
    assert_eq!(state_key(5, &Key::Service(service).bytes()), b"t/\0\0\0\0\0\0\0\x05scontoso");
}

#[test]
fn a_row_with_the_wrong_key_is_rejected() {
    let header = codec::encode(&Header::default());
    assert_eq!(Row::decode(b"z", &header), Ok(Row::Header(Header::default())));
    assert!(matches!(Row::decode(b"z1", &header), Err(RowError::Misplaced { .. })));
    assert!(matches!(Row::decode(b"f", &header), Err(RowError::Value { .. })));
    assert!(matches!(Row::decode(b"x", &header), Err(RowError::UnknownKey { .. })));
    assert!(matches!(Row::decode(b"", &header), Err(RowError::UnknownKey { .. })));
}

#[test]
fn evicted_outcomes_are_among_the_touched_rows() {
    let change = |number| Change {
        origin: Origin::Operator {
            request: request(number),
            digest: Digest([1; 32]),
            actor: "ada".parse().expect("is an actor"),
            reason: None,
        },
        events: Vec::new(),
        verdict: Verdict::Accepted,
    };
    let entry = |numbers: &[u128]| Entry {
        base: Revision(0),
        time: Timestamp(10_000_000),
        changes: numbers.iter().copied().map(change).collect(),
    };
    let mut state = State::default();
    let full: Vec<u128> = (1..limits::OUTCOMES as u128).map(|n| n * 10).collect();
    evolve::apply(&mut state, &entry(&full)).expect("the base revision matches");

    // The table has space for one more. Then come ids below and above all those it has.
    let entry = entry(&[15, 25, 5, 10_000_000, 10_000_001]);
    let touched = touched::by_entry(&state, &entry);
    let mut after = state.clone();
    evolve::apply(&mut after, &entry).expect("the base revision matches");
    assert!(after.outcomes.forgotten.is_some());
    let all: BTreeSet<Key> = keys(&state).chain(keys(&after)).collect();
    let changed = all.iter().filter(|key| Row::of(&state, key) != Row::of(&after, key));
    assert!(changed.clone().all(|key| touched.contains(key)));
    assert!(changed.count() >= 6);

    touched.iter().for_each(|key| Row::of(&after, key).put(&mut state));
    assert_eq!(state, after);
    assert_eq!((digest(&state), count(&state)), (digest(&after), limits::OUTCOMES as u64 + 2));
}

#[test]
fn an_entry_that_clears_the_outcomes_touches_each_of_them() {
    let mut state = State::default();
    let outcome = meridian_domain::outcome::Outcome {
        digest: Digest([1; 32]),
        verdict: Verdict::Accepted,
        base: Revision(0),
        revision: Revision(0),
    };
    for number in 0..=limits::OUTCOMES as u128 {
        state.outcomes.record(request(10_000_000 + number), outcome.clone());
    }
    let entry = Entry { base: Revision(0), time: Timestamp(1_000), changes: Vec::new() };
    let touched = touched::by_entry(&state, &entry);
    let mut after = state.clone();
    evolve::apply(&mut after, &entry).expect("the base revision matches");
    assert!(after.outcomes.by_request.is_empty());
    touched.iter().for_each(|key| Row::of(&after, key).put(&mut state));
    assert_eq!(state, after);
}
