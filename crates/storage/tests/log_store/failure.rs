//! After the first error nothing is acknowledged, and nobody waits for ever.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meridian_storage::fuse::Fuse;
use meridian_storage::log_store::LogStore;
use meridian_storage::raft::TypeConfig;
use openraft::RaftLogReader;
use openraft::alias::OneshotReceiverOf;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use crate::double::{Controls, Double};
use crate::{Place, SMALL, entry, id, store, vote};

type Acknowledgement = OneshotReceiverOf<TypeConfig, io::Result<()>>;

async fn append(store: &mut LogStore, term: u64, index: u64) -> Acknowledgement {
    let (send, receive) = TypeConfig::oneshot();
    let written = store.append([entry(term, index)], IOFlushed::signal(send)).await;
    // An error that is returned is reported as well.
    drop(written);
    receive
}

async fn outcome(acknowledgement: Acknowledgement) -> io::Result<()> {
    acknowledgement.await.expect("every append is answered")
}

fn doubled() -> (LogStore, Controls, Fuse) {
    let (controls, fuse) = (Controls::default(), Fuse::default());
    (store(Box::new(Double(controls.clone())), &fuse), controls, fuse)
}

fn fail() -> io::Result<()> {
    Err(io::Error::other("input/output error"))
}

#[tokio::test]
async fn what_comes_while_a_sync_is_under_way_shares_the_next_one() {
    let (mut store, controls, _) = doubled();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    let third = append(&mut store, 1, 2).await;
    assert_eq!((controls.begun(), *store.flushed().borrow()), (1, None));
    controls.end_syncs(|| Ok(()));
    outcome(first).await.expect("is durable");
    assert_eq!((controls.begun(), *store.flushed().borrow()), (2, Some(0)));
    controls.end_syncs(|| Ok(()));
    outcome(second).await.expect("is durable");
    outcome(third).await.expect("is durable");
    assert_eq!((controls.begun(), *store.flushed().borrow()), (2, Some(2)));
}

#[tokio::test]
async fn a_vote_is_saved_only_once_it_is_durable() {
    let (mut store, controls, _) = doubled();
    let saving = tokio::spawn({
        let mut store = store.clone();
        async move { store.save_vote(&vote(1)).await }
    });
    while controls.begun() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!saving.is_finished());
    controls.end_syncs(|| Ok(()));
    saving.await.expect("does not panic").expect("is durable");
    assert_eq!(store.read_vote().await.expect("can be read"), Some(vote(1)));
}

#[tokio::test]
async fn a_failed_sync_fails_everything_that_waits_and_all_that_comes() {
    let (mut store, controls, fuse) = doubled();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    controls.end_syncs(fail);
    outcome(first).await.expect_err("is not durable");
    outcome(second).await.expect_err("is not durable");
    let cause = fuse.cause().expect("has blown");
    assert!(cause.contains("sync the log") && cause.contains("input/output error"), "{cause}");

    outcome(append(&mut store, 1, 2).await).await.expect_err("the node has stopped");
    store.save_vote(&vote(1)).await.expect_err("the node has stopped");
    store.try_get_log_entries(..).await.expect_err("the node has stopped");
    assert_eq!((controls.begun(), *store.flushed().borrow()), (1, None));
}

#[tokio::test]
async fn a_sync_that_ends_after_the_node_stopped_acknowledges_nothing() {
    let (mut store, controls, fuse) = doubled();
    let first = append(&mut store, 1, 0).await;
    fuse.blow("the database failed");
    controls.end_syncs(|| Ok(()));
    outcome(first).await.expect_err("the node has stopped");
    assert_eq!(*store.flushed().borrow(), None);
}

#[tokio::test]
async fn a_failed_write_stops_the_node() {
    let (mut store, controls, fuse) = doubled();
    controls.break_writes();
    outcome(append(&mut store, 1, 0).await).await.expect_err("was not written");
    let cause = fuse.cause().expect("has blown");
    assert!(cause.contains("append to the log: no space left"), "{cause}");
}

#[tokio::test]
async fn a_sync_that_is_forgotten_is_reported_as_failed() {
    let (mut store, controls, fuse) = doubled();
    let first = append(&mut store, 1, 0).await;
    controls.drop_syncs();
    outcome(first).await.expect_err("nobody knows whether it is durable");
    assert!(fuse.cause().is_some());
}

#[tokio::test]
async fn appends_that_wait_when_the_store_is_dropped_are_answered() {
    let (mut store, controls, _) = doubled();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    drop(store);
    controls.drop_syncs();
    outcome(first).await.expect_err("was never synced");
    outcome(second).await.expect_err("was never synced");
}

#[tokio::test]
async fn a_truncation_takes_back_what_the_sync_under_way_would_have_flushed() {
    let (mut store, controls, _) = doubled();
    let answers = [append(&mut store, 1, 0).await, append(&mut store, 1, 1).await];
    controls.end_syncs(|| Ok(()));
    store.truncate_after(Some(id(1, 0))).await.expect("is not committed");
    let replacement = append(&mut store, 2, 1).await;
    // This ends the sync that began with the entry that is gone.
    controls.end_syncs(|| Ok(()));
    assert_eq!(*store.flushed().borrow(), Some(0));
    controls.end_syncs(|| Ok(()));
    outcome(replacement).await.expect("is durable");
    assert_eq!(*store.flushed().borrow(), Some(1));
    for answer in answers {
        outcome(answer).await.expect("was durable for a while");
    }
}

#[tokio::test]
async fn the_log_is_never_purged_past_what_the_derived_store_synced() {
    let (controls, fuse) = (Controls::default(), Fuse::default());
    let synced = Arc::new(AtomicU64::new(5));
    let mut store = LogStore::new(Box::new(Double(controls)), fuse.clone(), synced.clone());
    store.purge(id(1, 5)).await.expect("is synced");
    synced.store(7, Ordering::Release);
    store.purge(id(1, 7)).await.expect("is synced");
    store.purge(id(1, 8)).await.expect_err("is not synced");
    assert!(fuse.cause().expect("has blown").contains("up to index 8"));
}

#[tokio::test]
async fn a_chunk_that_cannot_be_created_stops_the_node() {
    let place = Place::new();
    let mut log = place.open(SMALL).expect("is new");
    log.append(1, 0..3).await;
    std::fs::remove_dir_all(place.path().join("raft-log")).expect("is there");
    let mut acknowledged = 3;
    while outcome(append(&mut log.store, 1, acknowledged).await).await.is_ok() {
        acknowledged += 1;
    }
    assert!(acknowledged < 10, "a chunk has 8 records, and here it had {acknowledged} entries");
    let cause = log.fuse.cause().expect("has blown");
    assert!(cause.contains("append to the log"), "{cause}");
    outcome(append(&mut log.store, 1, acknowledged).await).await.expect_err("the node has stopped");
}
