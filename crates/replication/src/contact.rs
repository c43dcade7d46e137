//! When this node last heard of a leader that it follows.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::raft::Raft;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver as _;

/// Cheap to clone; every clone is the same record.
#[derive(Clone)]
pub struct Contact {
    raft: Raft,
    heard: Arc<Mutex<Option<Instant>>>,
}

impl Contact {
    pub(crate) fn new(raft: Raft) -> Self {
        Self { raft, heard: Arc::default() }
    }

    /// Notes that a leader's append was accepted just now.
    pub(crate) fn heard(&self) {
        *self.heard.lock().expect("no holder of this lock panics") = Some(Instant::now());
    }

    /// How long ago that was; on the leader itself, since a majority last acknowledged it.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        if self.raft.is_leader() {
            let acknowledged = self.raft.metrics().borrow_watched().last_quorum_acked?;
            return Some(acknowledged.elapsed());
        }
        self.heard.lock().expect("no holder of this lock panics").map(|heard| heard.elapsed())
    }
}
