use futures::FutureExt;
use meridian_domain::{Entry, Event, Incarnation, Revision, State, evolve, limits};
use meridian_storage::disk::database::Database;
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::raft::{Payload, TypeConfig};
use openraft::EntryPayload;
use openraft::alias::EntryOf;
use openraft::storage::RaftStateMachine;
use proptest::prelude::*;

use crate::entries::{entries, many, operator_entry, seeds};
use crate::node::{Node, log_id, states};

/// Returns an entry whose second event does not apply to any state.
fn inapplicable(base: Revision) -> Entry {
    let mut entry = operator_entry(base, 1, Vec::new());
    let unit = meridian_domain::UnitId {
        service: meridian_domain::ServiceName::new("unknown").unwrap(),
        region: meridian_domain::RegionName::new("nowhere").unwrap(),
        slot: 1,
    };
    entry.changes[0].events = vec![
        Event::LimitsSet { limits: limits::Limits { voters: 1, ..Default::default() } },
        Event::UnitReady {
            unit,
            incarnation: Incarnation(1),
            pid: None,
            configuration: Revision(1),
        },
    ];
    entry
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_rows_always_contain_the_state(seeds in seeds(), range in 1..7_usize) {
        let entries = entries(&seeds);
        let last = states(&entries).pop().unwrap();
        block_on(async {
            let mut node = Node::empty();
            for range in entries.chunks(range) {
                node.apply(range).await.unwrap();
            }
            let live = node.sum();
            let events = node.events();
            assert_eq!(*node.store.state(), last);
            let node = node.restart().await;
            assert_eq!(*node.store.state(), last);
            assert_eq!(node.sum(), live);
            assert_eq!(node.events(), events);
            let records: Vec<_> = entries.iter().flat_map(Entry::records).collect();
            assert_eq!(events, records);

            let mut other = Node::empty();
            other.apply(&entries).await.unwrap();
            assert_eq!(other.sum(), live);
        });
    }
}

#[tokio::test]
async fn an_entry_with_another_base_changes_only_the_applied_position() {
    let mut node = Node::empty();
    let entries = many(&mut State::default(), 2, 3);
    node.apply(&entries).await.unwrap();
    let before = node.sum();
    node.apply(&[operator_entry(
        Revision(3),
        9,
        inapplicable(Revision(3)).changes[0].events.clone(),
    )])
    .await
    .unwrap();
    assert_eq!((node.applied(), node.sum()), (3, before));
    let node = node.restart().await;
    assert_eq!((node.applied(), node.sum()), (3, before));
}

#[tokio::test]
async fn an_inapplicable_entry_stops_the_node_and_changes_nothing() {
    let mut node = Node::empty();
    let entries = many(&mut State::default(), 2, 3);
    node.apply(&entries[..1]).await.unwrap();
    let mut state = node.store.state().clone();
    let range = [entries[1].clone(), inapplicable(Revision(6))];
    assert!(node.apply(&range).await.is_err());
    evolve::apply(&mut state, &entries[1]).unwrap();
    assert_eq!(*node.store.state(), state);
    assert_eq!(node.events().len(), 6);
    let cause = node.fuse.cause().unwrap();
    assert!(cause.contains("log index 3") && cause.contains("is assigned"), "{cause}");
    assert!(node.apply(&entries).await.is_err(), "nothing is acknowledged anymore");
    assert!(node.machine.get_current_snapshot().await.is_err());
}

#[tokio::test]
async fn an_entry_of_newer_software_stops_the_node() {
    let mut node = Node::empty();
    let mut bytes = meridian_storage::codec::encode(&inapplicable(Revision(0)));
    bytes[4] = 9;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&bytes[4..12]);
    checksum.update(&bytes[16..]);
    bytes[12..16].copy_from_slice(&checksum.finalize().to_le_bytes());
    let payload = EntryPayload::Normal(Payload(bytes.into()));
    let entry = EntryOf::<TypeConfig> { log_id: log_id(7), payload };
    assert!(node.machine.apply(futures::stream::iter([Ok((entry, None))])).await.is_err());
    let cause = node.fuse.cause().unwrap();
    assert!(cause.contains("log index 7") && cause.contains("newer software"), "{cause}");
    assert_eq!(node.store.state().header.revision, Revision(0));
}

#[tokio::test]
async fn memory_is_ahead_of_the_log_but_the_disk_is_not() {
    let mut node = Node::open_flushed(&MemoryDatabase::new(), None).unwrap();
    let entries = many(&mut State::default(), 2, 3);
    node.apply(&entries[..1]).await.unwrap();
    node.apply(&entries[1..]).await.unwrap();
    assert_eq!(*node.store.latest().borrow(), Revision(6));
    assert_eq!(node.events().len(), 6);
    assert_eq!(*node.store.durable().borrow(), Revision(0));
    assert_eq!(node.database.get(b"m/position").unwrap(), None);

    node.flushed.send_replace(Some(1));
    node.store.durable().wait_for(|revision| *revision == Revision(3)).await.unwrap();
    node.store.close().await.unwrap();
    let node = Node::open(&node.database).unwrap();
    assert_eq!(node.sum().revision, Revision(3), "the second range was never durable here");
}

#[tokio::test]
async fn applying_waits_while_too_many_ranges_wait_for_the_disk() {
    let mut node = Node::open_flushed(&MemoryDatabase::new(), None).unwrap();
    let entries = many(&mut State::default(), 300, 100);
    let flushed = node.flushed.clone();
    let mut waited = false;
    for entry in &entries {
        let entry = [entry.clone()];
        let mut applying = Box::pin(node.apply(&entry));
        match applying.as_mut().now_or_never() {
            Some(applied) => applied.unwrap(),
            None => {
                waited = true;
                flushed.send_replace(Some(u64::MAX));
                applying.await.unwrap();
            }
        }
    }
    assert!(waited);
    assert_eq!(node.restart().await.sum().revision, Revision(30_000));
}

#[tokio::test]
async fn a_storage_error_stops_the_node() {
    let mut node = Node::empty();
    node.database.cut_power_after(0);
    // Memory is ahead of the disk, so this call may succeed, or already return the error.
    if let Err(error) = node.apply(&many(&mut State::default(), 1, 1)).await {
        assert!(error.to_string().contains("the power was cut"), "{error}");
    }
    assert!(node.fuse.blown().await.contains("the power was cut"));
    assert!(node.apply(&many(&mut State::default(), 1, 1)).await.is_err());
    assert!(node.store.close().await.is_err());
}

/// Regression: a node that was killed between joining Raft and its first event did not start again.
#[tokio::test]
async fn a_store_without_events_can_be_reopened() {
    let mut node = Node::empty();
    node.apply_blank().await.unwrap();
    let before = node.sum();
    let node = node.restart().await;
    assert_eq!(node.applied(), 1);
    assert_eq!(node.sum(), before);
}

fn outcome_rows(node: &Node) -> usize {
    node.database.scan(b"t/\0\0\0\0\0\0\0\0o", b"t/\0\0\0\0\0\0\0\0p", usize::MAX).unwrap().len()
}

/// One event per change, until outcomes are forgotten and all others are derived from the newest
/// events.
#[tokio::test]
async fn continuous_changes_leave_no_outcome_rows() {
    let mut state = State::default();
    let mut node = Node::empty();
    for _ in 0..83 {
        let mut entries = many(&mut state, 1_000, 1);
        let changes = entries.iter_mut().flat_map(|entry| entry.changes.drain(..)).collect();
        let whole = Entry { changes, ..entries.swap_remove(0) };
        node.apply(&[whole]).await.unwrap();
    }
    assert!(node.store.state().outcomes.forgotten.is_some());
    let sum = node.sum();
    let node = node.restart().await;
    assert_eq!((node.sum(), outcome_rows(&node)), (sum, 0));
}

#[tokio::test]
async fn outcomes_that_were_cleared_are_not_derived_again() {
    let mut state = State::default();
    let mut node = Node::empty();
    node.apply(&many(&mut state, 700, 100)).await.unwrap();
    let mut changes = Vec::new();
    for number in 0..=limits::OUTCOMES as u128 {
        let entry = operator_entry(state.header.revision, 1_000_000_000_000 + number, Vec::new());
        changes.extend(entry.changes);
    }
    let time = state.header.time;
    let future = Entry { base: state.header.revision, time, changes };
    evolve::apply(&mut state, &future).unwrap();
    let cleared = Entry { base: state.header.revision, time, changes: Vec::new() };
    evolve::apply(&mut state, &cleared).unwrap();
    node.apply(&[future, cleared]).await.unwrap();
    assert!(state.outcomes.by_request.is_empty() && state.outcomes.forgotten.is_some());
    let sum = node.sum();
    let node = node.restart().await;
    assert_eq!((node.sum(), outcome_rows(&node)), (sum, 0));
    assert_eq!(*node.store.state(), state);
}

#[tokio::test]
async fn outcomes_that_are_no_longer_derived_have_rows() {
    let mut node = Node::empty();
    node.apply(&many(&mut State::default(), 900, 100)).await.unwrap();
    let sum = node.sum();
    let node = node.restart().await;
    assert_eq!(node.sum(), sum);
    // The outcomes of at least the last 65,536 of 90,000 events are derived.
    let rows = outcome_rows(&node);
    assert!((1..=244).contains(&rows), "{rows} outcomes have rows");
}
