use meridian_domain::{Event, Revision, State};
use meridian_storage::disk::database::{Batch, Database};
use meridian_storage::disk::entry::Position;
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::store::{LogGap, OpenError};

use crate::entries::{many, operator_entry};
use crate::node::{Node, log_id, send};

async fn filled(events: u64) -> MemoryDatabase {
    let mut node = Node::empty();
    node.apply(&many(&mut State::default(), events / 100, 100)).await.unwrap();
    node.store.close().await.unwrap();
    node.database
}

pub fn change(
    database: &MemoryDatabase,
    key: Vec<u8>,
    how: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
) {
    let value = database.get(&key).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.changes.push((key, how(value)));
    database.write(batch).unwrap();
}

/// Returns the key of the row that contains the event.
pub fn event_key(database: &MemoryDatabase, revision: u64) -> Vec<u8> {
    let from = [b"e/".as_slice(), &0_u64.to_be_bytes(), &revision.to_be_bytes()].concat();
    database.scan(&from, b"e0", 1).unwrap().remove(0).0
}

fn flip(mut value: Vec<u8>) -> Option<Vec<u8>> {
    value[20] ^= 1;
    Some(value)
}

fn open_error(database: &MemoryDatabase) -> OpenError {
    Node::open(database).err().expect("a damaged store is rejected")
}

#[tokio::test]
async fn damage_in_the_newest_events_is_detected_on_opening() {
    let database = filled(5_000).await;
    change(&database, event_key(&database, 4_500), flip);
    assert!(matches!(open_error(&database), OpenError::Database(_) | OpenError::Event(_)));
    let database = filled(5_000).await;
    change(&database, event_key(&database, 4_500), |_| None);
    assert!(open_error(&database).to_string().len() > 10);
}

#[tokio::test]
async fn damage_in_older_events_is_detected_by_reading_all_events() {
    // Enough events that this one is no longer needed to derive an outcome.
    let database = filled(90_000).await;
    change(&database, event_key(&database, 7), flip);
    let node = Node::open(&database).unwrap();
    assert!(node.store.verify_history().is_err());
    assert!(node.fuse.cause().unwrap().contains("event 1:"), "{:?}", node.fuse.cause());
}

#[tokio::test]
async fn an_intact_history_is_verified() {
    let node = Node::open(&filled(9_000).await).unwrap();
    node.store.verify_history().unwrap();
    assert_eq!(node.events().len(), 9_000);
}

#[tokio::test]
async fn a_missing_segment_hash_or_state_row_is_detected_on_opening() {
    let database = filled(5_000).await;
    change(&database, [b"s/".as_slice(), &[0; 16]].concat(), |_| None);
    assert!(matches!(open_error(&database), OpenError::Segment { segment: 0 }));

    let mut node = Node::empty();
    let mut state = State::default();
    node.apply(&many(&mut state, 50, 100)).await.unwrap();
    node.apply(&[operator_entry(state.header.revision, 7_000_000, Vec::new())]).await.unwrap();
    node.store.close().await.unwrap();
    let database = node.database;
    let outcomes = database.scan(b"t/\0\0\0\0\0\0\0\0o", b"t/\0\0\0\0\0\0\0\0p", 9).unwrap();
    assert_eq!(outcomes.len(), 1, "the others are derived from the events of their changes");
    change(&database, outcomes[0].0.clone(), |_| None);
    assert!(matches!(open_error(&database), OpenError::Incomplete { found: 51, expected: 52, .. }));
}

#[tokio::test]
async fn an_unsupported_format_is_rejected() {
    let database = filled(100).await;
    let format = meridian_storage::rows::position::Format { version: 4 };
    change(&database, b"m/format".to_vec(), |_| Some(meridian_storage::codec::encode(&format)));
    let error = open_error(&database).to_string();
    assert_eq!(error, "the derived store has format 4; only format 3 is supported");
}

#[tokio::test]
async fn a_gap_between_the_store_and_the_log_is_detected() {
    let node = Node::open(&filled(1_000).await).unwrap();
    assert_eq!(node.applied(), 10);
    assert_eq!(node.store.verify_against_log(11, Some(20)), Ok(()));
    assert_eq!(node.store.verify_against_log(0, Some(10)), Ok(()));
    let gap = node.store.verify_against_log(12, Some(20)).unwrap_err();
    assert_eq!(gap, LogGap::StoreBehind { applied: Some(10), first: 12 });
    assert!(gap.to_string().contains("ends at index 10, the Raft log starts at index 12"), "{gap}");
    let gap = node.store.verify_against_log(0, Some(9)).unwrap_err();
    assert_eq!(gap, LogGap::LogBehind { last: Some(9), applied: 10 });

    let empty = Node::empty();
    assert_eq!(empty.store.verify_against_log(0, None), Ok(()));
    assert!(empty.store.verify_against_log(1, Some(5)).is_err());
}

#[tokio::test]
async fn a_log_behind_an_installed_snapshot_is_accepted() {
    let mut leader = Node::open(&filled(1_000).await).unwrap();
    let mut node = Node::empty();
    let snapshot = leader.snapshot().await;
    send(&leader, snapshot, &mut node).await.unwrap();
    let mut node = node.restart().await;
    assert_eq!(node.store.verify_against_log(0, Some(3)), Ok(()));
    let more = many(&mut node.store.state().clone(), 1, 1);
    node.apply(&more).await.unwrap();
    assert!(node.store.verify_against_log(0, Some(3)).is_err());
}

#[tokio::test]
async fn a_log_that_contradicts_the_store_is_detected() {
    let node = Node::open(&filled(1_000).await).unwrap();
    let node_id = log_id(10).leader_id.node_id.0;
    let last = |term, index| Some(Position { term, node: node_id, index });
    for consistent in [None, last(1, 10), last(1, 12), last(2, 12), last(0, 9)] {
        assert_eq!(node.store.verify_end_of_log(consistent), Ok(()));
    }
    for index in [10, 12] {
        let gap = node.store.verify_end_of_log(last(0, index)).unwrap_err();
        assert!(matches!(gap, LogGap::Contradiction { .. }), "{gap}");
    }
}

#[tokio::test]
async fn reading_starts_at_any_revision_and_ends_at_the_newest() {
    let node = Node::open(&filled(5_000).await).unwrap();
    let revisions = |from, limit| -> Vec<u64> {
        let events = node.store.events(Revision(from), limit).unwrap();
        assert!(events.iter().all(|record| matches!(record.event, Event::LimitsSet { .. })));
        events.iter().map(|record| record.revision.0).collect()
    };
    assert_eq!(revisions(0, 2), [1, 2]);
    assert_eq!(revisions(4_096, 2), [4_096, 4_097]);
    assert_eq!(revisions(5_000, 9), [5_000]);
    assert_eq!(revisions(5_001, 9), [0_u64; 0]);
    assert_eq!(revisions(1, 0), [0_u64; 0]);
}
