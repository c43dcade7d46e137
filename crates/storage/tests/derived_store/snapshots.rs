use meridian_domain::{Revision, State};
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::snapshot::staging::StagingError;
use openraft::storage::RaftStateMachine;

use crate::entries::many;
use crate::node::{Node, send};

/// Returns a leader with this number of events, and the entries that contain them.
async fn leader(events: u64) -> (Node, Vec<meridian_domain::Entry>) {
    let mut leader = Node::empty();
    let entries = many(&mut State::default(), events / 100, 100);
    leader.apply(&entries).await.unwrap();
    (leader, entries)
}

#[tokio::test]
async fn an_empty_node_receives_everything() {
    let (mut leader, _) = leader(9_000).await;
    let mut node = Node::empty();
    let snapshot = leader.snapshot().await;
    assert_eq!(send(&leader, snapshot, &mut node).await.unwrap(), Revision(1));
    assert_eq!((node.sum(), node.applied()), (leader.sum(), leader.applied()));
    assert_eq!(*node.store.durable().borrow(), Revision(9_000));
    assert_eq!(node.events(), leader.events());
    let node = node.restart().await;
    assert_eq!(node.sum(), leader.sum());
    node.store.verify_history().unwrap();
}

#[tokio::test]
async fn a_node_that_is_behind_receives_only_the_missing_events() {
    let (mut leader, entries) = leader(9_000).await;
    let mut node = Node::empty();
    node.apply(&entries[..45]).await.unwrap();
    let snapshot = leader.snapshot().await;
    assert_eq!(send(&leader, snapshot, &mut node).await.unwrap(), Revision(4_501));
    assert_eq!(node.events(), leader.events());
    let more = many(&mut node.store.state().clone(), 3, 100);
    node.apply(&more).await.unwrap();
    leader.apply(&more).await.unwrap();
    let node = node.restart().await;
    assert_eq!(node.sum(), leader.sum());
    node.store.verify_history().unwrap();
}

#[tokio::test]
async fn a_node_whose_events_differ_receives_all_events_again() {
    let (mut leader, mut entries) = leader(9_000).await;
    entries[3].time.0 += 1;
    let mut node = Node::empty();
    node.apply(&entries[..45]).await.unwrap();
    let snapshot = leader.snapshot().await;
    assert_eq!(send(&leader, snapshot, &mut node).await.unwrap(), Revision(1));
    assert_eq!(node.events(), leader.events());
    let node = node.restart().await;
    assert_eq!((node.sum(), node.events()), (leader.sum(), leader.events()));
    node.store.verify_history().unwrap();
}

#[tokio::test]
async fn a_node_can_apply_entries_while_it_receives_a_snapshot() {
    let (mut leader, entries) = leader(9_000).await;
    for start in [0, 20] {
        let mut node = Node::empty();
        node.apply(&entries[..start]).await.unwrap();
        let whole = leader.snapshot().await;
        let snapshot = whole.snapshot.clone();
        let first = leader.store.first_missing(&snapshot, node.store.chain()).unwrap();
        node.apply(&entries[start..start + 5]).await.unwrap();
        let mut staging = node.store.stage(snapshot.head(first)).unwrap();
        for rows in snapshot.rows() {
            staging.rows(rows).await.unwrap();
        }
        let mut next = first;
        while next <= snapshot.revision() {
            let events = leader.store.stored_events(next, snapshot.revision()).unwrap();
            next = Revision(next.0 + events.len() as u64);
            staging.events(events).await.unwrap();
            if node.applied() < 70 {
                let applied = usize::try_from(node.applied()).unwrap();
                node.apply(&entries[applied..applied + 5]).await.unwrap();
            }
        }
        let received = staging.finish().unwrap();
        node.machine.install_snapshot(&whole.meta, received).await.unwrap();
        assert_eq!((node.sum(), node.events()), (leader.sum(), leader.events()));
        let node = node.restart().await;
        node.store.verify_history().unwrap();
        assert_eq!((node.sum(), node.events()), (leader.sum(), leader.events()));
    }
}

#[tokio::test]
async fn an_older_snapshot_is_not_installed() {
    let (mut leader, _) = leader(1_000).await;
    let snapshot = leader.snapshot().await;
    let mut node = Node::empty();
    send(&leader, snapshot.clone(), &mut node).await.unwrap();
    let more = many(&mut node.store.state().clone(), 3, 100);
    node.apply(&more).await.unwrap();
    let before = node.sum();
    send(&leader, snapshot.clone(), &mut node).await.unwrap();
    assert_eq!(node.sum(), before);
    node.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(node.restart().await.sum(), before);
}

#[tokio::test]
async fn an_inconsistent_snapshot_is_rejected_and_changes_nothing() {
    let (mut leader, _) = leader(5_000).await;
    let node = Node::empty();
    let snapshot = leader.snapshot().await.snapshot;
    let first = Revision(1);

    let staging = node.store.stage(snapshot.head(first)).unwrap();
    assert!(matches!(node.store.stage(snapshot.head(first)), Err(StagingError::Busy)));
    assert!(matches!(staging.finish(), Err(StagingError::Invalid(_))));

    let mut head = snapshot.head(first);
    head.segments = [meridian_domain::Digest([1; 32])].into();
    let mut staging = node.store.stage(head).unwrap();
    assert!(staging.events(Vec::new()).await.is_err(), "events come after the rows");
    for rows in snapshot.rows() {
        staging.rows(rows).await.unwrap();
    }
    let mut next = first;
    let error = loop {
        let events = leader.store.stored_events(next, snapshot.revision()).unwrap();
        next = Revision(next.0 + events.len() as u64);
        if let Err(error) = staging.events(events).await {
            break error;
        }
    };
    assert!(matches!(error, StagingError::Chain { revision: Revision(4_096) }), "{error}");
    drop(staging);
    assert_eq!(node.store.chain().0, Revision(0));
    assert_eq!(node.fuse.cause(), None);
}

#[tokio::test]
async fn a_watch_during_an_installation_sees_each_event_once() {
    let (mut leader, entries) = leader(9_000).await;
    let mut node = Node::empty();
    let store = node.store.clone();
    let watching = tokio::spawn(async move {
        let mut latest = store.latest();
        let mut seen = Vec::new();
        while seen.len() < 9_500 {
            let next = Revision(seen.len() as u64 + 1);
            latest.wait_for(|latest| *latest >= next).await.unwrap();
            seen.extend(store.events(next, 777).unwrap());
        }
        seen
    });
    for entry in &entries[..20] {
        node.apply(std::slice::from_ref(entry)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let snapshot = leader.snapshot().await;
    send(&leader, snapshot, &mut node).await.unwrap();
    let more = many(&mut node.store.state().clone(), 5, 100);
    node.apply(&more).await.unwrap();
    leader.apply(&more).await.unwrap();
    assert_eq!(watching.await.unwrap(), leader.events());
}

#[tokio::test]
async fn a_snapshot_is_built_only_from_synced_rows() {
    let database = MemoryDatabase::new();
    let mut node = Node::open_flushed(&database, None).unwrap();
    node.apply(&many(&mut State::default(), 3, 100)).await.unwrap();
    assert_eq!(node.store.synced_index().load(std::sync::atomic::Ordering::Acquire), 0);
    let flushed = node.flushed.clone();
    let (snapshot, _) = tokio::join!(node.machine.get_current_snapshot(), async {
        flushed.send_replace(Some(3));
    });
    let last = snapshot.unwrap().unwrap().meta.last_log_id.unwrap();
    assert_eq!(last.index, 3);
    assert_eq!(node.store.synced_index().load(std::sync::atomic::Ordering::Acquire), 3);
    drop(node);
    database.crash();
    assert_eq!(Node::open(&database).unwrap().applied(), 3);
}
