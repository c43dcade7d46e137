//! Derived store of a node on an in-memory database, with a stand-in for its Raft log.

use std::error::Error;
use std::io;
use std::sync::Arc;

use futures::stream;
use meridian_domain::{Digest, Entry, EventRecord, Revision, State, evolve};
use meridian_storage::codec;
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::{Payload, TypeConfig};
use meridian_storage::snapshot::Snapshot;
use meridian_storage::state_machine::StateMachine;
use meridian_storage::store::{OpenError, Store};
use openraft::alias::{EntryOf, LogIdOf, SnapshotOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, LogId};
use tokio::sync::watch;

pub struct Node {
    pub database: MemoryDatabase,
    pub store: Store,
    pub machine: StateMachine,
    /// Last index that is durable in the Raft log.
    pub flushed: watch::Sender<Option<u64>>,
    pub fuse: Fuse,
}

pub fn log_id(index: u64) -> LogIdOf<TypeConfig> {
    LogId { leader_id: LeaderId { term: 1, node_id: 1.into() }, index }
}

pub fn raft_entry(index: u64, entry: &Entry) -> EntryOf<TypeConfig> {
    let payload = EntryPayload::Normal(Payload(codec::encode(entry).into()));
    EntryOf::<TypeConfig> { log_id: log_id(index), payload }
}

impl Node {
    /// Opens a node whose Raft log is always flushed.
    pub fn open(database: &MemoryDatabase) -> Result<Self, OpenError> {
        Self::open_flushed(database, Some(u64::MAX))
    }

    pub fn open_flushed(
        database: &MemoryDatabase,
        flushed: Option<u64>,
    ) -> Result<Self, OpenError> {
        let flushed = watch::Sender::new(flushed);
        let fuse = Fuse::default();
        let shared = Arc::new(database.clone());
        let (store, machine) =
            Store::open(shared, flushed.subscribe(), Arc::default(), fuse.clone())?;
        Ok(Self { database: database.clone(), store, machine, flushed, fuse })
    }

    pub fn empty() -> Self {
        Self::open(&MemoryDatabase::new()).unwrap()
    }

    /// Returns the last applied log index; log indexes start at 1 in these tests.
    pub fn applied(&self) -> u64 {
        *self.store.applied().borrow()
    }

    /// Applies entries after the applied ones, in one call, as openraft does.
    pub async fn apply(&mut self, entries: &[Entry]) -> io::Result<()> {
        let next = self.applied() + 1;
        let entries: Vec<_> = (next..)
            .zip(entries)
            .map(|(index, entry)| Ok((raft_entry(index, entry), None)))
            .collect();
        self.machine.apply(stream::iter(entries)).await
    }

    /// Applies a blank entry, the first entry of each leader.
    pub async fn apply_blank(&mut self) -> io::Result<()> {
        let log_id = log_id(self.applied() + 1);
        let entry = EntryOf::<TypeConfig> { log_id, payload: EntryPayload::Blank };
        self.machine.apply(stream::iter([Ok((entry, None))])).await
    }

    /// Closes the store and opens it again.
    pub async fn restart(self) -> Self {
        self.store.close().await.unwrap();
        Self::open(&self.database).unwrap()
    }

    pub async fn snapshot(&mut self) -> SnapshotOf<TypeConfig, Snapshot> {
        self.machine.get_current_snapshot().await.unwrap().unwrap()
    }

    pub fn events(&self) -> Vec<EventRecord> {
        self.store.events(Revision(1), usize::MAX).unwrap()
    }

    /// Returns everything by which nodes are compared.
    pub fn sum(&self) -> Sum {
        let (revision, chain) = self.store.chain();
        let (at, digest) = self.store.position();
        assert_eq!(revision, at);
        Sum { revision, chain, digest }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    pub revision: Revision,
    pub chain: Digest,
    pub digest: Digest,
}

/// Returns the state after each number of entries, from 0 on.
pub fn states(entries: &[Entry]) -> Vec<State> {
    let mut states = vec![State::default()];
    for entry in entries {
        let mut state = states.last().unwrap().clone();
        evolve::apply(&mut state, entry).unwrap();
        states.push(state);
    }
    states
}

/// Sends `snapshot` as the transport does, and installs it.
pub async fn send(
    from: &Node,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
    to: &mut Node,
) -> Result<Revision, Box<dyn Error>> {
    let SnapshotOf::<TypeConfig, Snapshot> { meta, snapshot } = snapshot;
    let first = from.store.first_missing(&snapshot, to.store.chain())?;
    let mut staging = to.store.stage(snapshot.head(first))?;
    for rows in snapshot.rows() {
        staging.rows(rows).await?;
    }
    let mut next = first;
    while next <= snapshot.revision() {
        let events = from.store.stored_events(next, snapshot.revision())?;
        next = Revision(next.0 + events.len() as u64);
        staging.events(events).await?;
    }
    to.machine.install_snapshot(&meta, staging.finish()?).await?;
    Ok(first)
}
