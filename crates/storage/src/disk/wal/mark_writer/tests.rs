use std::sync::mpsc;
use std::thread;

use meridian_domain::{ClusterId, NodeId};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::disk::directory::Identity;

/// Maximum time that a call may take that does not wait for the disk.
const PROMPT: Duration = Duration::from_secs(10);

fn start() -> (TempDir, MarkWriter) {
    let directory = tempfile::tempdir().expect("can create a directory");
    let owner = Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NodeId(1) };
    let mark = Mark::create(&directory.path().join("mark"), owner).expect("can be created");
    (directory, MarkWriter::start(mark, Fuse::default()).expect("can start a thread"))
}

fn at(index: u64) -> Option<Position> {
    Some(Position { term: 1, node: 1, index })
}

fn vote(term: u64) -> Option<StoredVote> {
    Some(StoredVote { term, node: 1, committed: false })
}

/// Returns what a sync covers that started before the first truncation.
fn coverage(vote: Option<StoredVote>, last: Option<Position>) -> Coverage {
    Coverage { vote, last, epoch: 0 }
}

/// Runs `call` on a thread, and returns a receiver of its end.
fn spawn(call: impl FnOnce() -> io::Result<()> + Send + 'static) -> mpsc::Receiver<()> {
    let (send, ended) = mpsc::channel();
    thread::spawn(move || {
        call().expect("the mark can be written");
        let _ = send.send(());
    });
    ended
}

#[test]
fn an_append_does_not_wait_for_a_write_of_the_mark_that_hangs() {
    let (_directory, writer) = start();
    let handle = writer.handle();
    // As long as a write of the mark is in progress.
    let writing = handle.mark();
    let appended = spawn({
        let handle = handle.clone();
        move || handle.record_sync(coverage(None, at(7)))
    });
    appended.recv_timeout(PROMPT).expect("the append is acknowledged");
    drop(writing);
    handle.write().expect("the mark can be written");
    assert_eq!(handle.mark().durable(), at(7));
}

#[test]
fn votes_and_truncations_wait_for_a_write_of_the_mark_and_include_it() {
    let (_directory, writer) = start();
    let handle = writer.handle();
    handle.record_sync(coverage(None, at(9))).expect("is recorded");
    let mut writing = handle.mark();
    let calls = [
        spawn({
            let handle = handle.clone();
            move || handle.record_sync(coverage(vote(2), at(9)))
        }),
        spawn({
            let handle = handle.clone();
            move || handle.lower(at(4))
        }),
    ];
    while handle.epoch() == 0 || handle.recorded().vote.is_none() {
        thread::yield_now();
    }
    assert!(calls.iter().all(|ended| ended.try_recv() == Err(mpsc::TryRecvError::Empty)));
    // The write in progress has read the values before the truncation.
    writing.write(None, at(9)).expect("the mark can be written");
    drop(writing);
    calls.iter().for_each(|ended| ended.recv_timeout(PROMPT).expect("completes"));
    let mark = handle.mark();
    assert_eq!((mark.vote(), mark.durable()), (vote(2), at(4)));
}
