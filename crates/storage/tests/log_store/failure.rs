//! After the first error nothing is acknowledged, and no waiter hangs.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use meridian_storage::fuse::Fuse;
use meridian_storage::log_store::LogStore;
use meridian_storage::raft::TypeConfig;
use openraft::RaftLogReader;
use openraft::alias::OneshotReceiverOf;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use crate::double::{Controls, Double};
use crate::{LogDirectory, SMALL, entry, id, store, vote};

type Acknowledgement = OneshotReceiverOf<TypeConfig, io::Result<()>>;

async fn append(store: &mut LogStore, term: u64, index: u64) -> Acknowledgement {
    let (send, receive) = TypeConfig::oneshot();
    let written = store.append([entry(term, index)], IOFlushed::signal(send)).await;
    // A returned error is also reported through the callback.
    drop(written);
    receive
}

async fn outcome(acknowledgement: Acknowledgement) -> io::Result<()> {
    acknowledgement.await.expect("every append is acknowledged or fails")
}

fn store_on_double() -> (LogStore, Controls, Fuse) {
    let (controls, fuse) = (Controls::default(), Fuse::default());
    (store(Box::new(Double(controls.clone())), &fuse), controls, fuse)
}

fn fail() -> io::Result<()> {
    Err(io::Error::other("input/output error"))
}

#[tokio::test]
async fn appends_during_a_sync_share_the_next_one() {
    let (mut store, controls, _) = store_on_double();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    let third = append(&mut store, 1, 2).await;
    assert_eq!((controls.started(), *store.flushed().borrow()), (1, None));
    controls.complete_syncs(|| Ok(()));
    outcome(first).await.expect("is durable");
    assert_eq!((controls.started(), *store.flushed().borrow()), (2, Some(0)));
    controls.complete_syncs(|| Ok(()));
    outcome(second).await.expect("is durable");
    outcome(third).await.expect("is durable");
    assert_eq!((controls.started(), *store.flushed().borrow()), (2, Some(2)));
}

#[tokio::test]
async fn a_vote_is_saved_only_once_it_is_durable() {
    let (mut store, controls, _) = store_on_double();
    let saving = tokio::spawn({
        let mut store = store.clone();
        async move { store.save_vote(&vote(1)).await }
    });
    while controls.started() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!saving.is_finished());
    controls.complete_syncs(|| Ok(()));
    saving.await.expect("does not panic").expect("is durable");
    assert_eq!(store.read_vote().await.expect("can be read"), Some(vote(1)));
}

#[tokio::test]
async fn a_failed_sync_fails_all_pending_and_later_calls() {
    let (mut store, controls, fuse) = store_on_double();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    controls.complete_syncs(fail);
    outcome(first).await.expect_err("is not durable");
    outcome(second).await.expect_err("is not durable");
    let cause = fuse.cause().expect("has blown");
    assert!(cause.contains("sync the log") && cause.contains("input/output error"), "{cause}");

    outcome(append(&mut store, 1, 2).await).await.expect_err("the node has stopped");
    store.save_vote(&vote(1)).await.expect_err("the node has stopped");
    store.try_get_log_entries(..).await.expect_err("the node has stopped");
    assert_eq!((controls.started(), *store.flushed().borrow()), (1, None));
}

#[tokio::test]
async fn a_sync_that_completes_after_the_node_stopped_acknowledges_nothing() {
    let (mut store, controls, fuse) = store_on_double();
    let first = append(&mut store, 1, 0).await;
    fuse.blow("the database failed");
    controls.complete_syncs(|| Ok(()));
    outcome(first).await.expect_err("the node has stopped");
    assert_eq!(*store.flushed().borrow(), None);
}

#[tokio::test]
async fn a_failed_write_stops_the_node() {
    let (mut store, controls, fuse) = store_on_double();
    controls.break_writes();
    outcome(append(&mut store, 1, 0).await).await.expect_err("was not written");
    let cause = fuse.cause().expect("has blown");
    assert!(cause.contains("append to the log: no space left"), "{cause}");
}

#[tokio::test]
async fn a_dropped_sync_is_reported_as_failed() {
    let (mut store, controls, fuse) = store_on_double();
    let first = append(&mut store, 1, 0).await;
    controls.drop_syncs();
    outcome(first).await.expect_err("durability is unknown");
    assert!(fuse.cause().is_some());
}

#[tokio::test]
async fn closing_does_not_block_the_runtime() {
    let (store, controls, _) = store_on_double();
    let release = controls.hold_close();
    let (closed, released) = tokio::join!(store.close(), async { release.send(()) });
    closed.expect("is released");
    released.expect("is closing");
}

#[tokio::test]
async fn no_sync_starts_after_the_store_was_closed() {
    let (mut store, controls, _) = store_on_double();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    store.close().await.expect("can be closed");
    controls.complete_syncs(|| Ok(()));
    assert_eq!(controls.started(), 1);
    outcome(first).await.expect("is durable");
    outcome(second).await.expect("is durable");
}

#[tokio::test]
async fn the_journal_is_not_dropped_after_the_node_stopped() {
    let (store, controls, fuse) = store_on_double();
    fuse.blow("the disk hangs");
    drop(store);
    assert!(controls.journal_exists());
}

#[tokio::test]
async fn pending_appends_fail_when_the_store_is_dropped() {
    let (mut store, controls, _) = store_on_double();
    let first = append(&mut store, 1, 0).await;
    let second = append(&mut store, 1, 1).await;
    drop(store);
    controls.drop_syncs();
    outcome(first).await.expect_err("was never synced");
    outcome(second).await.expect_err("was never synced");
}

#[tokio::test]
async fn a_truncation_limits_what_the_sync_in_flight_flushes_and_waits_for_the_next() {
    let (mut store, controls, _) = store_on_double();
    let acknowledgements = [append(&mut store, 1, 0).await, append(&mut store, 1, 1).await];
    controls.complete_syncs(|| Ok(()));
    let mut truncation = pin!({
        let mut store = store.clone();
        async move { store.truncate_after(Some(id(1, 0))).await }
    });
    assert!((&mut truncation).now_or_never().is_none(), "the truncation is not durable");
    let replacement = append(&mut store, 2, 1).await;
    // This completes the sync that started with the truncated entry.
    controls.complete_syncs(|| Ok(()));
    assert_eq!(*store.flushed().borrow(), Some(0));
    assert!((&mut truncation).now_or_never().is_none(), "the truncation is not durable");
    controls.complete_syncs(|| Ok(()));
    truncation.await.expect("is durable");
    outcome(replacement).await.expect("is durable");
    assert_eq!(*store.flushed().borrow(), Some(1));
    for acknowledgement in acknowledgements {
        outcome(acknowledgement).await.expect("was durable before the truncation");
    }
}

#[tokio::test]
async fn the_log_is_never_purged_beyond_what_the_derived_store_has_synced() {
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
    let directory = LogDirectory::new();
    let mut log = directory.open(SMALL).expect("is new");
    log.append(1, 0..3).await;
    std::fs::remove_dir_all(directory.path().join("raft-log")).expect("exists");
    let mut acknowledged = 3;
    while outcome(append(&mut log.store, 1, acknowledged).await).await.is_ok() {
        acknowledged += 1;
    }
    assert!(acknowledged < 10, "a chunk has 8 records, and here it had {acknowledged} entries");
    let cause = log.fuse.cause().expect("has blown");
    assert!(cause.contains("append to the log"), "{cause}");
    outcome(append(&mut log.store, 1, acknowledged).await).await.expect_err("the node has stopped");
}
