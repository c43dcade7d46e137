//! What openraft drives: applies committed entries, builds and installs snapshots.
//!
//! openraft knows two kinds of state machines: those that write before they answer, and those whose
//! snapshots are durable. This one is half of each, and safe for these reasons:
//!
//! - After a restart it stands where its rows do, at or behind what it had answered. openraft applies
//!   the entries in between again, because the Raft log still has them: it is purged only up to a
//!   snapshot, and [`Builder`] returns one only after the rows up to there were synced.
//! - A snapshot is not kept anywhere. [`StateMachine::get_current_snapshot`] makes one of the present
//!   state and syncs its rows first, so that the position it names, up to which openraft may purge
//!   the log and which it takes for the last snapshot after a restart, is never ahead of the disk. It
//!   is never behind the purged entry either, because the state is not: a node whose rows are is
//!   refused by [`Store::verify_against_log`].
//! - [`StateMachine::install_snapshot`] returns only when the snapshot is on the disk.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};

use crate::raft::TypeConfig;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::store::writer::Job;

mod range;

/// Entries that are applied under one lock and written as one range: few enough that readers do not
/// notice, enough that a busy leader's range is one batch.
const ENTRIES_PER_RANGE: usize = 64;

/// The one writer of a [`Store`].
pub struct StateMachine {
    store: Store,
}

impl StateMachine {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>)> {
        let tail = self.store.core.tail();
        Ok((tail.applied, tail.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut ranges = entries.ready_chunks(ENTRIES_PER_RANGE);
        while let Some(range) = ranges.next().await {
            // There is a place for its rows before anything changes, so that nothing can come
            // between what is visible and what will be written.
            let place = self.store.jobs.reserve().await;
            let place = place.map_err(|_| self.store.core.stopped())?;
            range::apply(&self.store.core, range, place)?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { store: self.store.clone(), snapshot: capture(&self.store) }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Snapshot,
    ) -> io::Result<()> {
        let installed = self.store.install(meta, snapshot).await;
        installed.map_err(|error| self.store.core.fail("a snapshot cannot be installed", error))
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, Snapshot>>> {
        if self.store.core.tail().applied.is_none() {
            return Ok(None);
        }
        self.get_snapshot_builder().await.build_snapshot().await.map(Some)
    }
}

/// A snapshot of the present state, to be handed out only once its rows are synced.
fn capture(store: &Store) -> SnapshotOf<TypeConfig, Snapshot> {
    let state = store.core.state();
    let tail = store.core.tail();
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id: tail.applied,
        last_membership: tail.membership.clone(),
    };
    let snapshot = Snapshot {
        state: Arc::new(state.clone()),
        revision: tail.log.revision,
        chain: tail.log.chain,
        segments: tail.log.segments.as_slice().into(),
        staged: None,
    };
    SnapshotOf::<TypeConfig, Snapshot> { meta, snapshot }
}

/// Makes one snapshot.
pub struct Builder {
    store: Store,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Snapshot;

    /// Returns once the rows of the snapshot are synced: the Raft log is purged because of it.
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, Snapshot>> {
        self.store.request(|reply| Job::Sync { reply }).await?;
        Ok(self.snapshot.clone())
    }
}
