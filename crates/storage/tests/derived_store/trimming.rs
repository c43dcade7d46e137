use meridian_domain::{Event, Revision, State, evolve};
use meridian_ports::HistoryError;
use meridian_storage::disk::database::Database;
use meridian_storage::event_log::stored;

use crate::entries::{many, operator_entry};
use crate::node::{Node, send};
use crate::opening::{change, event_key};

/// Returns a node with 10,000 events of which those up to `through` are trimmed by one more event.
async fn trimmed(through: u64) -> Node {
    let mut node = Node::empty();
    let mut state = State::default();
    node.apply(&many(&mut state, 100, 100)).await.unwrap();
    let trim = Event::HistoryTrimmed { through: Revision(through) };
    node.apply(&[operator_entry(Revision(10_000), 1 << 30, vec![trim])]).await.unwrap();
    node
}

fn kept(node: &Node) -> Vec<u64> {
    let rows = node.database.scan(b"e/", b"e0", usize::MAX).unwrap();
    let events = rows.into_iter().flat_map(|(key, row)| {
        stored::read(meridian_storage::rows::event_of_key(&key), row).unwrap()
    });
    events.map(|(revision, _)| revision.0).collect()
}

#[tokio::test]
async fn trimmed_events_are_rejected_and_complete_segments_are_deleted() {
    let node = trimmed(5_000).await;
    let expected = HistoryError::Trimmed { from: Revision(5_000), oldest: Revision(5_001) };
    assert_eq!(node.store.events(Revision(5_000), 1), Err(expected.clone()));
    let kept_events = node.store.events(Revision(5_001), usize::MAX).unwrap();
    assert_eq!(kept_events.len(), 5_001);
    let sum = node.sum();
    let node = node.restart().await;
    // The next range is written only after the deletion has started; closing does not wait for it.
    while kept(&node).first() != Some(&4_097) {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept(&node).len(), 5_905);
    assert_eq!(node.store.events(Revision(5_000), 1), Err(expected));
    assert_eq!(node.store.events(Revision(5_001), usize::MAX).unwrap(), kept_events);
    assert_eq!(node.restart().await.sum(), sum);
}

#[tokio::test]
async fn a_lost_row_of_a_trimmed_event_whose_segment_remains_stops_the_node() {
    let node = trimmed(5_000).await.restart().await;
    let (first, last) = (Revision(4_097), Revision(5_000));
    node.store.stored_events(first, last).unwrap();
    change(&node.database, event_key(&node.database, first.0), |_| None);
    let error = node.store.stored_events(first, last).unwrap_err();
    assert!(matches!(error, HistoryError::Storage { .. }), "{error}");
    let cause = node.fuse.cause().unwrap();
    assert!(cause.contains("event 4097 is missing"), "{cause}");
}

#[tokio::test]
async fn a_trimmed_history_is_sent_from_its_first_remaining_segment() {
    let mut leader = trimmed(8_500).await;
    for prefix in [0, 30, 60, 95] {
        let mut node = Node::empty();
        node.apply(&many(&mut State::default(), prefix, 100)).await.unwrap();
        let snapshot = leader.snapshot().await;
        let first = send(&leader, snapshot, &mut node).await.unwrap();
        assert_eq!(first, if prefix == 95 { Revision(9_501) } else { Revision(8_193) });
        assert_eq!(node.sum(), leader.sum());
        assert!(node.store.events(Revision(8_500), 1).is_err());
        let mut node = node.restart().await;
        node.store.verify_history().unwrap();
        let events = node.store.events(Revision(8_501), usize::MAX).unwrap();
        assert_eq!(events, leader.store.events(Revision(8_501), usize::MAX).unwrap());
        // The node can send on what it received.
        let mut third = Node::empty();
        let snapshot = node.snapshot().await;
        send(&node, snapshot, &mut third).await.unwrap();
        assert_eq!(third.sum(), leader.sum());
    }
}

#[tokio::test]
async fn a_snapshot_whose_events_were_trimmed_meanwhile_is_not_sent() {
    let mut leader = Node::empty();
    let mut state = State::default();
    leader.apply(&many(&mut state, 100, 100)).await.unwrap();
    let snapshot = leader.snapshot().await;
    let trim = Event::HistoryTrimmed { through: Revision(9_000) };
    let entry = operator_entry(Revision(10_000), 1 << 30, vec![trim]);
    evolve::apply(&mut state, &entry).unwrap();
    leader.apply(&[entry]).await.unwrap();
    let mut node = Node::empty();
    let error = send(&leader, snapshot, &mut node).await.unwrap_err();
    assert!(error.to_string().contains("trimmed"), "{error}");
    let snapshot = leader.snapshot().await;
    send(&leader, snapshot, &mut node).await.unwrap();
    assert_eq!(node.sum(), leader.sum());
}
