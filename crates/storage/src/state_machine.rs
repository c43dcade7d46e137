//! State machine of openraft: applies committed entries, builds and installs snapshots.
//!
//! openraft supports two kinds of state machines: those that persist before they respond, and those
//! with durable snapshots. This one is a mix of both. It is safe for these reasons:
//!
//! - After a restart, its state is that of its rows, at or behind what it had responded to.
//!   openraft applies the entries in between again, and the Raft log still has them: the log is
//!   purged only up to a snapshot, and [`Builder`] returns a snapshot only after the rows up to it
//!   were synced.
//! - Snapshots are not stored. [`StateMachine::get_current_snapshot`] creates one from the current
//!   state and syncs its rows first. So the position of a snapshot, up to which openraft may purge
//!   the log and which it treats as the last snapshot after a restart, is never ahead of the disk.
//!   It is never behind the last purged entry either, because the state is not: a node whose rows
//!   are behind it is rejected by [`Store::verify_against_log`].
//! - [`StateMachine::install_snapshot`] returns only after the snapshot is durable.

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

/// Maximum number of entries that are applied under one lock and written as one range: few enough
/// not to delay readers noticeably, enough to combine the entries of a busy leader into one batch.
const ENTRIES_PER_RANGE: usize = 64;

/// State machine of a [`Store`]: the only writer of its state.
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
            // A slot for the rows is reserved before anything changes, so that no other job can
            // come between the visible change and its rows.
            let slot = self.store.jobs.reserve().await;
            let slot = slot.map_err(|_| self.store.core.writer_stopped())?;
            range::apply(&self.store.core, range, slot)?;
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
        installed.map_err(|error| self.store.core.fail("cannot install a snapshot", error))
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

/// Captures a snapshot of the current state. It may be returned only after its rows are synced.
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

/// Builder of one snapshot.
pub struct Builder {
    store: Store,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Snapshot;

    /// Returns after the rows of the snapshot are synced: the Raft log is purged based on it.
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, Snapshot>> {
        self.store.request(|reply| Job::Sync { reply }).await?;
        Ok(self.snapshot.clone())
    }
}
