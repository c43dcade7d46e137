use meridian_domain::{Revision, State};
use meridian_storage::disk::memory_database::MemoryDatabase;
use openraft::storage::RaftStateMachine;

use crate::entries::{entries, many};
use crate::node::{Node, Sum, send, states};

/// Numbers of unsynced batches that survive a crash: none, some, all.
const SURVIVING_BATCHES: [usize; 3] = [0, 1, usize::MAX];

#[tokio::test]
async fn a_power_loss_at_any_step_of_applying_loses_nothing_that_the_log_has() {
    let seeds: Vec<_> = (0..24_u8).map(|n| vec![(n * 5, n, n), (n * 11 + 1, n, n)]).collect();
    let entries = entries(&seeds);
    let states = states(&entries);
    for step in 0.. {
        let mut finished = false;
        for surviving in SURVIVING_BATCHES {
            let database = MemoryDatabase::new();
            let mut node = Node::open(&database).unwrap();
            database.cut_power_after(step);
            let mut applied = 0;
            while applied < entries.len() && node.apply(&entries[applied..=applied]).await.is_ok() {
                applied += 1;
                // Snapshots sync the rows; without them nothing would survive.
                if applied % 7 == 0 && node.machine.get_current_snapshot().await.is_err() {
                    break;
                }
            }
            finished = applied == entries.len() && node.store.close().await.is_ok();
            drop(node);
            database.crash_keeping(surviving);
            let mut node = Node::open(&database).unwrap();
            let at = usize::try_from(node.applied()).unwrap();
            assert_eq!(*node.store.state(), states[at], "after step {step}");
            node.apply(&entries[at..]).await.unwrap();
            assert_eq!(*node.store.state(), states[entries.len()], "after step {step}");
            let events = node.events();
            assert_eq!(node.restart().await.events(), events);
        }
        if finished {
            return;
        }
    }
}

async fn leader(events: u64) -> Node {
    let mut leader = Node::empty();
    leader.apply(&many(&mut State::default(), events / 100, 100)).await.unwrap();
    leader
}

/// Returns the database of a node with `prefix` events of the leader, or as many different ones.
async fn follower(prefix: u64, own: bool) -> MemoryDatabase {
    let mut node = Node::empty();
    let mut entries = many(&mut State::default(), prefix / 100, 100);
    if own {
        entries.iter_mut().for_each(|entry| entry.time.0 += 1);
    }
    node.apply(&entries).await.unwrap();
    node.store.close().await.unwrap();
    node.database
}

fn open_sum(database: &MemoryDatabase) -> (Sum, usize) {
    let node = Node::open(database).unwrap();
    node.store.verify_history().unwrap();
    (node.sum(), node.events().len())
}

async fn install_under_power_cuts(prefix: u64, own: bool) {
    let mut leader = leader(4_500).await;
    let new = (leader.sum(), 4_500);
    let before = follower(prefix, own).await;
    let old = open_sum(&before.copy());
    let (mut seen_old, mut seen_new) = (false, false);
    for step in 0.. {
        let mut installed = false;
        for surviving in SURVIVING_BATCHES {
            let database = before.copy();
            let mut node = Node::open(&database).unwrap();
            let snapshot = leader.snapshot().await;
            database.cut_power_after(step);
            installed = send(&leader, snapshot, &mut node).await.is_ok();
            drop(node);
            database.crash_keeping(surviving);
            let found = open_sum(&database);
            assert!(
                found == new || (found == old && !installed),
                "step {step}, surviving batches {surviving}"
            );
            seen_old |= found == old;
            seen_new |= found == new;
        }
        if installed {
            break;
        }
    }
    assert!(seen_old && seen_new);
}

#[tokio::test]
async fn a_power_loss_during_the_installation_on_an_empty_node_leaves_the_old_or_the_new_state() {
    install_under_power_cuts(0, false).await;
}

#[tokio::test]
async fn a_power_loss_during_the_installation_on_a_node_behind_leaves_the_old_or_the_new_state() {
    install_under_power_cuts(4_000, false).await;
}

#[tokio::test]
async fn a_power_loss_during_the_replacement_of_a_history_leaves_the_old_or_the_new_state() {
    install_under_power_cuts(4_200, true).await;
}

#[tokio::test]
async fn rows_of_an_unfinished_snapshot_are_deleted_on_restart() {
    let mut leader = leader(5_000).await;
    let database = follower(1_000, false).await;
    let node = Node::open(&database).unwrap();
    let snapshot = leader.snapshot().await.snapshot;
    let mut staging = node.store.stage(snapshot.head(Revision(1_001))).unwrap();
    for rows in snapshot.rows() {
        staging.rows(rows).await.unwrap();
    }
    staging
        .events(leader.store.stored_events(Revision(1_001), Revision(1_200)).unwrap())
        .await
        .unwrap();
    std::mem::forget(staging);
    node.store.close().await.unwrap();
    let rows = |database: &MemoryDatabase| {
        use meridian_storage::disk::database::Database;
        database.scan(b"a", b"z", usize::MAX).unwrap().len()
    };
    let left = rows(&database);
    drop(Node::open(&database).unwrap());
    let clean = rows(&follower(1_000, false).await);
    assert!(left > clean);
    assert_eq!(rows(&database), clean);
}
