//! Installation of a received snapshot: one pointer makes it the current state.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use openraft::alias::{LogIdOf, SnapshotMetaOf};

use super::Snapshot;
use super::staging::{Staged, StagingError};
use crate::event_log::{EventLog, removable_keys};
use crate::raft::TypeConfig;
use crate::rows::position::{Members, Position};
use crate::rows::{self, KeyRange};
use crate::store::incoming::Pointer;
use crate::store::writer::Job;
use crate::store::{Store, Tail};

impl Store {
    /// Makes `snapshot` the current state, unless the current state is as new. Returns after it is
    /// durable.
    ///
    /// # Errors
    /// If the snapshot cannot be stored, or its events differ from this node's. The fuse has then
    /// blown.
    pub(crate) async fn install(
        &self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Snapshot,
    ) -> io::Result<()> {
        self.core.fuse.check()?;
        let Some(last) = meta.last_log_id else { return Ok(()) };
        if self.core.tail().applied >= Some(last) {
            return Ok(());
        }
        let snapshot = match snapshot.staged {
            Some(_) => snapshot,
            None => self.stage_whole(&snapshot).await.map_err(io::Error::other)?,
        };
        let Some(staged) = snapshot.staged.clone() else {
            return Err(io::Error::other("the snapshot was not staged before its installation"));
        };
        let position = Position {
            epoch: staged.epoch,
            history: staged.history,
            applied: Some(last.into()),
            installed: Some(last.index),
            revision: snapshot.revision,
            chain: snapshot.chain,
            rows: rows::count(&snapshot.state),
            // A snapshot has a row for each outcome.
            outcome_watermark: snapshot.revision,
        };
        let members = Members::from(&meta.last_membership);
        let pointer = Pointer { index: last.index, position, members };
        // From here on its rows may be the current ones, whether or not the reply arrives.
        staged.mark_installed();
        self.request(|reply| Job::Install { pointer, reply }).await?;
        let revision = snapshot.revision;
        let old = self.replace_state(last, meta, snapshot, &staged);
        self.core.raise_durable(revision);
        // The queue may be full of deletions; the next start deletes what is left.
        drop(self.jobs.try_send(Job::Sweep(old)));
        self.core.publish();
        Ok(())
    }

    /// Stages a snapshot of this process, without events: this node must have all of them.
    async fn stage_whole(&self, snapshot: &Snapshot) -> Result<Snapshot, StagingError> {
        let mut staging = self.stage(snapshot.head(snapshot.revision.next()))?;
        for rows in snapshot.rows() {
            staging.rows(rows).await?;
        }
        staging.finish()
    }

    /// Makes the installed snapshot the current state for all readers at the same time, and returns
    /// the ranges of rows that are no longer referenced.
    fn replace_state(
        &self,
        last: LogIdOf<TypeConfig>,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Snapshot,
        staged: &Staged,
    ) -> Vec<KeyRange> {
        let Snapshot { state: new, revision, chain, segments, .. } = snapshot;
        let mut log = EventLog::stored(staged.history, revision, chain, segments.to_vec());
        log.trimmed = new.header.trimmed;
        let mut state = self.core.state_mut();
        let mut tail = self.core.tail();
        let old = vec![
            rows::state_keys(tail.epoch..tail.epoch + 1),
            removable_keys(staged.history, log.trimmed),
            rows::segment_keys(0..staged.history),
        ];
        *state = Arc::unwrap_or_clone(new);
        *tail = Tail {
            log,
            applied: Some(last),
            membership: meta.last_membership.clone(),
            epoch: staged.epoch,
            installed: Some(last.index),
            outcome_watermark: revision,
            unflushed: VecDeque::new(),
            digest: None,
        };
        old
    }
}
