//! A disk that hangs blocks neither the runtime nor the calls that need no disk.

use std::sync::mpsc;
use std::time::Duration;

use meridian_domain::{ClusterId, NodeId};
use meridian_storage::disk::directory::{DataDirectory, Identity};
use meridian_storage::disk::entry::StoredEntry;
use meridian_storage::disk::journal::Journal;
use meridian_storage::disk::wal::Wal;
use meridian_storage::fuse::Fuse;
use openraft::RaftLogReader;
use openraft::storage::{IOFlushed, RaftLogStorage};
use uuid::Uuid;

use crate::double::{Controls, Double};
use crate::{LogDirectory, SMALL, entry, store};

/// Time within which a task runs on a runtime that is not blocked.
const PROMPT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_age_of_the_oldest_sync_in_progress_is_known() {
    let controls = Controls::default();
    let mut store = store(Box::new(Double(controls.clone())), &Fuse::default());
    assert_eq!(store.busy_for(), Duration::ZERO);
    store.append([entry(1, 0)], IOFlushed::noop()).await.expect("can be written");
    while store.busy_for() < Duration::from_millis(20) {
        tokio::task::yield_now().await;
    }
    // A later append does not make the sync in progress any younger.
    store.append([entry(1, 1)], IOFlushed::noop()).await.expect("can be written");
    assert!(store.busy_for() >= Duration::from_millis(20));
    controls.complete_syncs(|| Ok(()));
    controls.complete_syncs(|| Ok(()));
    assert_eq!(store.busy_for(), Duration::ZERO);
}

#[test]
fn a_write_that_hangs_blocks_no_worker_of_the_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("can start a thread");
    let controls = Controls::default();
    let store = store(Box::new(Double(controls.clone())), &Fuse::default());
    let release = controls.hold_append();
    let appending = runtime.spawn({
        let mut store = store.clone();
        async move { store.append([entry(1, 0)], IOFlushed::noop()).await }
    });
    while !controls.append_started() {
        std::thread::yield_now();
    }
    // Waits for the journal.
    let reading = runtime.spawn({
        let mut store = store.clone();
        async move { store.try_get_log_entries(..).await }
    });
    let (send, ran) = mpsc::channel();
    runtime.spawn(async move { send.send(store.busy_for()) });
    let ran = ran.recv_timeout(PROMPT);
    release.send(()).expect("the append waits");
    assert!(ran.expect("the worker runs other tasks") > Duration::ZERO, "the write is in progress");
    runtime.block_on(appending).expect("does not panic").expect("is written");
    assert_eq!(runtime.block_on(reading).expect("does not panic").expect("is read").len(), 1);
}

#[test]
fn a_write_that_creates_a_chunk_is_known_to_block() {
    let directory = LogDirectory::new();
    let identity = Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NodeId(7) };
    let mut held = DataDirectory::open(directory.path()).expect("is not locked");
    held.establish(identity).expect("has none");
    let mut wal = Wal::open(&held, identity, SMALL, Fuse::default()).expect("is new");
    let mut announced = 0;
    for index in 0..100 {
        let before = directory.chunks().len();
        let entry = StoredEntry::from(entry(1, index));
        let blocks = wal.write_blocks(1, entry.payload_bytes());
        wal.append(vec![entry]).expect("can be written");
        assert!(blocks || directory.chunks().len() == before, "index {index}");
        announced += usize::from(blocks);
    }
    assert!(announced < 50, "{announced} of 100 writes were expected to block");
}
