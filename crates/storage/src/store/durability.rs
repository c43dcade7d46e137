//! Tracks which applied revisions are durable in this node's own Raft log.

use std::sync::{Arc, Weak};

use meridian_domain::Revision;
use tokio::sync::watch;

use super::{Core, raise};

impl Core {
    /// Publishes the newest revision whose range is durable in the Raft log. Its rows need not be
    /// written: they can be restored from the log.
    pub(super) fn publish_durable(&self) {
        let mut tail = self.tail();
        // Read under the lock: a truncation lowers the value before the new entries are applied, so
        // an older value may cover a range that replaced what was flushed.
        let Some(flushed) = *self.flushed.borrow() else { return };
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::disk::memory_database::MemoryDatabase;
    use crate::fuse::Fuse;
    use crate::store::Store;

    /// Number of attempts to let a thread read the index before it is lowered.
    const ATTEMPTS: u64 = 1_000;

    #[tokio::test]
    async fn a_range_that_replaced_flushed_entries_is_not_durable_before_it_is_flushed() {
        let flushed = watch::Sender::new(Some(9));
        let database = Arc::new(MemoryDatabase::new());
        let opened = Store::open(database, flushed.subscribe(), Arc::default(), Fuse::default());
        let (store, _) = opened.expect("is empty");
        let (core, started) = (&*store.core, Barrier::new(2));
        for revision in (1..=ATTEMPTS).map(Revision) {
            thread::scope(|scope| {
                let mut tail = core.tail();
                scope.spawn(|| {
                    started.wait();
                    core.publish_durable();
                });
                started.wait();
                (0..20).for_each(|_| thread::yield_now());
                flushed.send_replace(Some(4));
                tail.unflushed.push_back((9, revision));
                drop(tail);
            });
            assert!(*core.durable.borrow() < revision, "index 9 is not flushed");
            flushed.send_replace(Some(9));
            core.publish_durable();
            assert_eq!(*core.durable.borrow(), revision);
        }
    }
}
