//! The log of a single-node cluster: an entry is committed once it is durable.

use std::sync::RwLockReadGuard;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use meridian_domain::report::Report;
use meridian_domain::{
    Change, Command, Entry, Origin, Revision, State, Timestamp, Verdict, decide,
};
use meridian_ports::{
    Consistency, Proposal, Propose, ProposeError, Read, ReadError, ReadPoint, Receipt,
};
use meridian_storage::codec;
use meridian_storage::raft::{Payload, TypeConfig};
use meridian_storage::store::Store;
use openraft::EntryPayload;
use openraft::alias::EntryOf;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::node::Node;
use crate::progress::Progress;
use crate::workload::log_id;

/// The only term: there is no other candidate.
const TERM: u64 = 1;

/// The log of the only member.
pub(super) struct Log {
    store: Store,
    /// The stores, locked by the current writer.
    node: Mutex<Node>,
}

impl Log {
    /// Opens the log, and applies all of it.
    pub(super) async fn open(mut node: Node) -> Result<Self> {
        let last = node.stores.log.get_log_state().await?.last_log_id;
        if let Some(last) = last {
            node.apply_through(last.index).await?;
        }
        Ok(Self { store: node.stores.store.clone(), node: Mutex::new(node) })
    }

    /// Appends and applies a command.
    ///
    /// # Errors
    /// If the domain rejects it or a store fails.
    pub(super) async fn apply(&self, command: Command) -> Result<()> {
        let verdict = self.append(&command).await?.verdict;
        ensure!(verdict == Verdict::Accepted, "{command:?}: {verdict:?}");
        Ok(())
    }

    /// Returns the number of desired units.
    pub(super) fn units(&self) -> usize {
        let state = self.store.state();
        state.units_on(&super::name()).filter(|unit| unit.is_wanted()).count()
    }

    /// Closes the stores.
    ///
    /// # Errors
    /// If the last writes of a store may not be durable.
    pub(super) async fn close(&self) -> Result<()> {
        self.node.lock().await.close().await
    }

    async fn append(&self, command: &Command) -> Result<Receipt> {
        let mut node = self.node.lock().await;
        let entry = decide_entry(&self.store.state(), command);
        let (base, verdict) = (entry.base, entry.changes[0].verdict.clone());
        let last = node.stores.log.get_log_state().await?.last_log_id;
        let index = last.map_or(0, |last| last.index + 1);
        let payload = EntryPayload::Normal(Payload(Bytes::from(codec::encode(&entry))));
        let entry = EntryOf::<TypeConfig> { log_id: log_id(TERM, index), payload };
        node.stores.log.blocking_append([entry]).await.context("cannot append to the log")?;
        Progress::Appended { term: TERM, index }.report()?;
        node.apply_through(index).await?;
        Ok(Receipt { verdict, base, revision: self.store.state().header.revision })
    }
}

fn decide_entry(state: &State, command: &Command) -> Entry {
    let (events, verdict) = match decide(state, command) {
        Ok(events) => (events, Verdict::Accepted),
        Err(rejections) => (Vec::new(), Verdict::Rejected(rejections)),
    };
    let origin = match command {
        Command::Report(Report { agent, generation, sequence, .. }) => {
            Origin::Report { agent: agent.clone(), generation: *generation, sequence: *sequence }
        }
        _ => Origin::System,
    };
    let base = state.header.revision;
    Entry { base, time: Timestamp(1_000), changes: vec![Change { origin, events, verdict }] }
}

#[async_trait]
impl Propose for Log {
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError> {
        let appended = self.append(&proposal.command).await;
        // After a store failure, requests never receive a response.
        match appended {
            Ok(receipt) => Ok(receipt),
            Err(_) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Read for Log {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        let revision = self.state().header.revision;
        Ok(ReadPoint { revision, leader_contact: None })
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.store.state()
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        self.store.durable()
    }
}
