//! Tracks which applied revisions are durable in this node's own Raft log.

use std::sync::{Arc, Weak};

use meridian_domain::Revision;
use tokio::sync::watch;

use super::{Core, raise};

impl Core {
    /// Publishes the newest revision whose range is durable in the Raft log. Its rows need not be
    /// written: they can be restored from the log.
    pub(super) fn publish_durable(&self) {
        let Some(flushed) = *self.flushed.borrow() else { return };
        let mut tail = self.tail();
        let mut revision = None;
        while let Some((index, range)) = tail.unflushed.front().copied()
            && index <= flushed
        {
            revision = Some(range);
            tail.unflushed.pop_front();
        }
        drop(tail);
        if let Some(revision) = revision {
            raise(&self.durable, revision);
        }
    }

    /// Raises the durable revision to that of an installed snapshot, which is durable without the
    /// Raft log.
    pub(crate) fn raise_durable(&self, revision: Revision) {
        raise(&self.durable, revision);
    }
}

/// Spawns a task that publishes revisions that become durable after they were applied. It ends when
/// the store or the log is dropped.
pub(super) fn follow(core: &Arc<Core>) {
    let mut flushed = core.flushed.clone();
    let core = Arc::downgrade(core);
    tokio::spawn(async move { while publish_next(&core, &mut flushed).await {} });
}

async fn publish_next(core: &Weak<Core>, flushed: &mut watch::Receiver<Option<u64>>) -> bool {
    if flushed.changed().await.is_err() {
        return false;
    }
    match core.upgrade() {
        Some(core) => {
            core.publish_durable();
            true
        }
        None => false,
    }
}
