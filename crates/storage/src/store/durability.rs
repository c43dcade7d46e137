//! Says how far what is applied is also durable in this node's own Raft log.

use std::sync::{Arc, Weak};

use meridian_domain::Revision;
use tokio::sync::watch;

use super::{Core, raise};

impl Core {
    /// Announces the newest revision whose range the Raft log holds durably. The rows need not be
    /// written: they can be made again from the log.
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

    /// Announces a revision that is durable without the Raft log: that of an installed snapshot.
    pub(crate) fn note_durable(&self, revision: Revision) {
        raise(&self.durable, revision);
    }
}

/// Announces what becomes durable after it was applied, as long as the store and the log live.
pub(super) fn follow(core: &Arc<Core>) {
    let mut flushed = core.flushed.clone();
    let core = Arc::downgrade(core);
    tokio::spawn(async move { while announce(&core, &mut flushed).await {} });
}

async fn announce(core: &Weak<Core>, flushed: &mut watch::Receiver<Option<u64>>) -> bool {
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
