//! Acknowledged data survives a reopen.

use openraft::storage::RaftLogStorage;
use openraft::storage::RaftLogStorageExt;
use openraft::{EntryPayload, Membership, RaftLogReader};

use crate::{LARGE, LogDirectory, SMALL, entry, expected, id, text, vote};

#[tokio::test]
async fn acknowledged_entries_and_the_vote_survive_a_reopen() {
    let directory = LogDirectory::new();
    let mut log = directory.open(LARGE).expect("is new");
    log.store.save_vote(&vote(3)).await.expect("can be written");
    log.append(3, 0..20).await;
    log.store.save_committed(Some(id(3, 18))).await.expect("can be written");
    log.append(3, 20..21).await;
    drop(log);

    let mut log = directory.open(LARGE).expect("is intact");
    assert_eq!(log.ids().await, expected(3, 0..21));
    assert_eq!(log.store.read_vote().await.expect("can be read"), Some(vote(3)));
    assert_eq!(log.store.read_committed().await.expect("can be read"), Some(id(3, 18)));
    assert_eq!(*log.store.flushed().borrow(), Some(20));
}

#[tokio::test]
async fn memberships_and_blank_entries_survive_a_reopen() {
    let directory = LogDirectory::new();
    let mut log = directory.open(LARGE).expect("is new");
    let member = meridian_storage::raft::Member {
        address: meridian_domain::Address::new("10.0.0.1:7401").expect("is an address"),
    };
    let members = std::collections::BTreeMap::from([(crate::NODE, member)]);
    let membership = Membership::new(vec![[crate::NODE].into()], members).expect("is valid");
    let mut first = entry(1, 0);
    first.payload = EntryPayload::Membership(membership);
    let mut second = entry(1, 1);
    second.payload = EntryPayload::Blank;
    let written = vec![first, second];
    log.store.blocking_append(written.clone()).await.expect("can be written");
    drop(log);

    let mut log = directory.open(LARGE).expect("is intact");
    assert_eq!(log.store.try_get_log_entries(..).await.expect("can be read"), written);
}

#[tokio::test]
async fn entries_are_readable_before_they_are_durable() {
    let directory = LogDirectory::new();
    let mut log = directory.open(SMALL).expect("is new");
    let mut flushed = log.store.flushed();
    for index in 0..100 {
        let callback = openraft::storage::IOFlushed::noop();
        log.store.append([entry(1, index)], callback).await.expect("can be written");
        let read = log.store.try_get_log_entries(index..).await.expect("can be read");
        assert_eq!(read, [entry(1, index)]);
    }
    flushed.wait_for(|flushed| *flushed == Some(99)).await.expect("the store exists");
    drop(log);
    assert!(directory.chunks().len() > 5);
    assert_eq!(directory.open(SMALL).expect("is intact").ids().await, expected(1, 0..100));
}

#[tokio::test]
async fn truncated_entries_stay_removed_and_their_replacements_stay() {
    let directory = LogDirectory::new();
    let mut log = directory.open(SMALL).expect("is new");
    log.append(1, 0..20).await;
    // Closing writes the mark up to the end, so the truncation has to lower it.
    log.store.close().await.expect("can be closed");
    drop(log);

    let mut log = directory.open(SMALL).expect("is intact");
    log.store.truncate_after(Some(id(1, 4))).await.expect("is not committed");
    assert_eq!(*log.store.flushed().borrow(), Some(4));
    log.append(2, 5..7).await;
    assert_eq!(*log.store.flushed().borrow(), Some(6));
    drop(log);

    let mut log = directory.open(SMALL).expect("is intact");
    assert_eq!(log.ids().await, [expected(1, 0..5), expected(2, 5..7)].concat());
    log.store.truncate_after(None).await.expect("is not committed");
    assert_eq!(*log.store.flushed().borrow(), None);
    drop(log);
    assert_eq!(directory.open(SMALL).expect("is intact").ids().await, []);
}

#[tokio::test]
async fn a_purge_removes_files_and_may_exceed_the_end() {
    let directory = LogDirectory::new();
    let mut log = directory.open(SMALL).expect("is new");
    log.append(1, 0..40).await;
    let before = directory.chunks().len();
    log.store.purge(id(1, 29)).await.expect("everything is synced");
    log.append(1, 40..41).await;
    assert_eq!(log.ids().await, expected(1, 30..41));
    drop(log);
    assert!(directory.chunks().len() < before);

    let mut log = directory.open(SMALL).expect("is intact");
    assert_eq!(log.ids().await, expected(1, 30..41));
    // As after the installation of a snapshot that is ahead of the log.
    log.store.purge(id(2, 99)).await.expect("everything is synced");
    let mut flushed = log.store.flushed();
    flushed.wait_for(|flushed| *flushed == Some(99)).await.expect("the store exists");
    log.append(2, 100..102).await;
    drop(log);

    let mut log = directory.open(SMALL).expect("is intact");
    assert_eq!(log.ids().await, expected(2, 100..102));
    let state = log.store.get_log_state().await.expect("can be read");
    assert_eq!(state.last_purged_log_id, Some(id(2, 99)));
    assert_eq!(state.last_log_id, Some(id(2, 101)));
}

#[tokio::test]
async fn a_limited_read_stops_at_one_mebibyte_but_returns_at_least_one_entry() {
    let directory = LogDirectory::new();
    let mut log = directory.open(LARGE).expect("is new");
    let large = |index: u64, bytes: usize| {
        let mut entry = entry(1, index);
        let payload = bytes::Bytes::from(vec![0; bytes]);
        entry.payload = EntryPayload::Normal(meridian_storage::raft::Payload(payload));
        entry
    };
    let written =
        [large(0, 2 << 20), large(1, 600 << 10), large(2, 400 << 10), large(3, 100 << 10)];
    log.store.blocking_append(written).await.expect("can be written");
    let mut read = async |start| {
        let read = log.store.limited_get_log_entries(start, 4).await.expect("can be read");
        read.len()
    };
    assert_eq!((read(0).await, read(1).await, read(3).await), (1, 2, 1));
}

#[tokio::test]
async fn closing_writes_the_mark_up_to_the_end() {
    let directory = LogDirectory::new();
    let mut log = directory.open(LARGE).expect("is new");
    log.append(1, 0..5).await;
    log.store.close().await.expect("can be closed");
    log.store.save_vote(&vote(9)).await.expect_err("is closed");
    drop(log);
    // Removes the last record. Without the mark, it would look as if it had never been written.
    let length = text(4).len() as u64;
    directory.alter_chunk(0, |bytes| bytes.truncate(bytes.len() - length as usize));
    let error = directory.open_error();
    assert!(error.contains("does not reach its mark"), "{error}");
    assert!(error.contains("index 4 of term 1"), "{error}");
}
