//! Makes a received snapshot the present state: one pointer flips.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use meridian_domain::{Digest, Revision};
use openraft::alias::{LogIdOf, SnapshotMetaOf};

use super::Snapshot;
use super::staging::{Staged, StagingError};
use crate::codec;
use crate::event_log::{BrokenEvent, EventLog, StoredEvent, trimmed_rows};
use crate::raft::TypeConfig;
use crate::rows::position::{Members, Position};
use crate::rows::{self, KeyRange};
use crate::storage::database::Batch;
use crate::store::writer::Job;
use crate::store::{Core, Store, Tail};

/// The pointer to a received snapshot, with what must be true before it flips.
pub(crate) struct Pointer {
    index: u64,
    position: Position,
    members: Members,
}

/// Why a snapshot that was received whole is not installed. The node stops: it has, or was sent,
/// events that others do not have.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the snapshot ends at revision {snapshot}, this node is at {present} already")]
    Backwards { snapshot: Revision, present: Revision },
    #[error(
        "at revision {revision} this node has the chain hash {present}, the snapshot has {snapshot}: \
         their events differ"
    )]
    Diverged { revision: Revision, present: Digest, snapshot: Digest },
}

impl Pointer {
    /// Checks that the events staged follow on those of this node, where they are to do so: it may
    /// have applied some itself since the first of them was sent.
    pub(crate) fn check(&self, core: &Core) -> io::Result<()> {
        let (history, revision, chain) = {
            let log = &core.tail().log;
            (log.history, log.revision, log.chain)
        };
        let Position { revision: last, chain: wanted, .. } = self.position;
        if revision > last {
            return Err(io::Error::other(Refusal::Backwards { snapshot: last, present: revision }));
        }
        if history != self.position.history {
            return Ok(());
        }
        if revision == last {
            if chain == wanted {
                return Ok(());
            }
            let refusal = Refusal::Diverged { revision, present: chain, snapshot: wanted };
            return Err(io::Error::other(refusal));
        }
        let next = revision.next();
        let row = core.database.get(&rows::event_key(history, next))?;
        let row = row.ok_or(BrokenEvent::Missing { revision: next })?;
        StoredEvent::from_row(next, row)?.check(next, &chain)?;
        Ok(())
    }

    /// The last log index of the snapshot, and the batch that flips to it.
    pub(crate) fn into_batch(self) -> (u64, Batch) {
        let mut batch = Batch::default();
        batch.insert(rows::POSITION_KEY, codec::encode(&self.position));
        self.members.write(&mut batch);
        (self.index, batch)
    }
}

impl Store {
    /// Makes `snapshot` the present state, if it is later than that. Returns once it is durable.
    ///
    /// # Errors
    /// If it cannot be stored, or its events differ from this node's. The fuse has then blown.
    pub(crate) async fn install(
        &self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Snapshot,
    ) -> io::Result<()> {
        self.core.check()?;
        let Some(last) = meta.last_log_id else { return Ok(()) };
        if self.core.tail().applied >= Some(last) {
            return Ok(());
        }
        let snapshot = match snapshot.staged {
            Some(_) => snapshot,
            None => self.stage_whole(&snapshot).await.map_err(io::Error::other)?,
        };
        let Some(staged) = snapshot.staged.clone() else {
            return Err(io::Error::other("a snapshot is staged before it is installed"));
        };
        let position = Position {
            epoch: staged.epoch,
            history: staged.history,
            applied: Some(last.into()),
            installed: Some(last.index),
            revision: snapshot.revision,
            chain: snapshot.chain,
            rows: rows::count(&snapshot.state),
        };
        let members = Members::from(&meta.last_membership);
        let pointer = Pointer { index: last.index, position, members };
        // From here on its rows may be the present ones, whatever becomes of the answer.
        staged.keep();
        self.request(|reply| Job::Install { pointer, reply }).await?;
        let revision = snapshot.revision;
        let old = self.show(last, meta, snapshot, &staged);
        self.core.note_durable(revision);
        // The queue may be full of nothing but sweeping; the next start finds what is left.
        drop(self.jobs.try_send(Job::Sweep(old)));
        self.core.publish();
        Ok(())
    }

    /// Stages a snapshot of this process, without events: this node must have them all.
    async fn stage_whole(&self, snapshot: &Snapshot) -> Result<Snapshot, StagingError> {
        let mut staging = self.stage(snapshot.head(snapshot.revision.next()))?;
        for rows in snapshot.rows() {
            staging.rows(rows).await?;
        }
        staging.finish()
    }

    /// Puts the installed snapshot in the place of the present state, for all readers at once, and
    /// returns the rows that nothing points at any more.
    fn show(
        &self,
        last: LogIdOf<TypeConfig>,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Snapshot,
        staged: &Staged,
    ) -> Vec<KeyRange> {
        let Snapshot { state: new, revision, chain, segments, .. } = snapshot;
        let mut log = EventLog::stored(staged.history, revision, chain, segments.to_vec());
        log.trimmed = new.header.trimmed;
        let kept = rows::event_key(staged.history, trimmed_rows(log.trimmed).next());
        let mut state = self.core.state_mut();
        let mut tail = self.core.tail();
        let old = vec![
            rows::state_keys(tail.epoch..tail.epoch + 1),
            rows::event_keys(0..u64::MAX).start..kept,
            rows::segment_keys(0..staged.history),
        ];
        *state = Arc::unwrap_or_clone(new);
        *tail = Tail {
            log,
            applied: Some(last),
            membership: meta.last_membership.clone(),
            epoch: staged.epoch,
            installed: Some(last.index),
            unflushed: VecDeque::new(),
            digest: None,
        };
        old
    }
}
