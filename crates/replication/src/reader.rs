//! Reads the state on this node once it is as fresh as requested: a linearizable read waits until
//! this node has applied the leader's read index (decision 15 of the design).
//!
//! Waiting reads are coalesced: one request to the leader serves all reads that were waiting when
//! it was sent. It never serves later ones, because its index may miss changes that were
//! acknowledged in between.

use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{NodeId, Revision, State};
use meridian_ports::{Consistency, Read, ReadError, ReadPoint};
use meridian_proto::v1 as proto;
use meridian_proto::v1::read_index_response::Result as WireResult;
use meridian_storage::fuse::Fuse;
use meridian_storage::planted::{Bug, planted};
use meridian_storage::store::Store;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::contact::ContactTracker;
use crate::instance::Raft;
use crate::leader_watch::LeaderWatch;
use crate::peer::links::Links;
use crate::suspension::Suspension;

/// Maximum number of queued read index requests. Above it, reads wait for capacity.
const QUEUE: usize = 1_024;
/// Timeout of one request to the leader, which is then retried, possibly on another node.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum delay before a failed request is retried; it ends early if the leader changes.
const RETRY_DELAY: Duration = Duration::from_millis(25);

/// Implements [`Read`]. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    requests: mpsc::Sender<Waiter>,
    store: Store,
    contact: ContactTracker,
}

/// Receives the read index of a linearizable read.
type Waiter = oneshot::Sender<Result<u64, ReadError>>;

impl Reader {
    /// Starts the task that fetches read indexes, which exits when all handles are dropped.
    pub(crate) fn start(
        fetcher: ReadIndexFetcher,
        store: Store,
        contact: ContactTracker,
        fuse: &Fuse,
    ) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        fuse.guard("the read index fetcher", fetcher.run(queue));
        Self { requests, store, contact }
    }

    fn point(&self) -> ReadPoint {
        let revision = self.store.state().header.revision;
        ReadPoint { revision, leader_contact: self.contact.since_leader_contact() }
    }

    async fn linearize(&self, deadline: Instant) -> Result<(), ReadError> {
        let started = Instant::now();
        let no_leader = |_| ReadError::NoLeader { waited: started.elapsed() };
        let (waiter, received) = oneshot::channel();
        let fetched = async {
            // Does not fail: the fetcher runs as long as this handle exists.
            let _ = self.requests.send(waiter).await;
            received.await.unwrap_or(Err(ReadError::NoLeader { waited: started.elapsed() }))
        };
        let index = timeout_at(deadline, fetched).await.map_err(no_leader)??;
        let mut applied = self.store.applied();
        let caught_up = applied.wait_for(|applied| *applied >= index);
        match timeout_at(deadline, caught_up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ReadError::Behind { index, waited: started.elapsed() }),
        }
    }
}

#[async_trait]
impl Read for Reader {
    async fn read(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<ReadPoint, ReadError> {
        match consistency {
            Consistency::Stale => {}
            Consistency::Linearizable if planted(Bug::SkipReadIndex) => {}
            Consistency::Linearizable => self.linearize(deadline).await?,
        }
        Ok(self.point())
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.store.state()
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        self.store.durable()
    }
}

/// Result of a read index request.
pub(crate) enum ReadIndex {
    /// Everything acknowledged before the request is in the log up to this index.
    Index(u64),
    /// The receiver does not lead, or no longer.
    NotLeader,
    /// The requesting node is not known to the leader.
    Removed,
}

/// Fetches read indexes from the leader, which may be this node.
pub(crate) struct ReadIndexFetcher {
    pub node: NodeId,
    pub raft: Raft,
    pub store: Store,
    pub leader_watch: LeaderWatch,
    pub links: Arc<Links>,
    pub suspension: Suspension,
}

impl ReadIndexFetcher {
    async fn run(self, mut queue: mpsc::Receiver<Waiter>) {
        while let Some(first) = queue.recv().await {
            let mut waiters = vec![first];
            while let Ok(next) = queue.try_recv() {
                waiters.push(next);
            }
            let result = self.fetch(&waiters).await;
            for waiter in waiters {
                let _ = waiter.send(result.clone());
            }
        }
    }

    /// Retries until there is a result or all waiters are gone.
    async fn fetch(&self, waiters: &[Waiter]) -> Result<u64, ReadError> {
        let mut next_member = 0;
        loop {
            let attempt = async {
                match self.leader_watch.known_leader() {
                    // The heartbeats of a read index would keep the others from electing a leader.
                    Some(leader) if leader == self.node && self.suspension.is_active() => {
                        ReadIndex::NotLeader
                    }
                    Some(leader) if leader == self.node => {
                        read_index(&self.raft, &self.store, self.node).await
                    }
                    Some(leader) => self.fetch_from(leader).await,
                    None => self.fetch_from_next(&mut next_member).await,
                }
            };
            match tokio::time::timeout(REQUEST_TIMEOUT, attempt).await {
                Ok(ReadIndex::Index(index)) => return Ok(index),
                Ok(ReadIndex::Removed) => return Err(ReadError::Removed),
                Ok(ReadIndex::NotLeader) | Err(_) => {}
            }
            if waiters.iter().all(oneshot::Sender::is_closed) {
                return Err(ReadError::NoLeader { waited: REQUEST_TIMEOUT });
            }
            self.leader_watch.changed_within(RETRY_DELAY).await;
        }
    }

    /// Requests a read index from the next other member, in turn. A removed node receives no
    /// heartbeats and therefore knows no leader. By trying all members it finds the leader, which
    /// reports the removal.
    async fn fetch_from_next(&self, next: &mut usize) -> ReadIndex {
        let members = self.links.members();
        let others: Vec<_> = members.iter().filter(|(node, _)| *node != self.node).collect();
        *next += 1;
        match others.get(*next % others.len().max(1)) {
            Some((node, _)) => self.fetch_from(*node).await,
            None => ReadIndex::NotLeader,
        }
    }

    async fn fetch_from(&self, node: NodeId) -> ReadIndex {
        let request = proto::ReadIndexRequest { node: self.node.0 };
        match self.links.read_index(node, request).await.map(|response| response.result) {
            Ok(Some(WireResult::Index(index))) => ReadIndex::Index(index),
            Ok(Some(WireResult::Removed(_))) => ReadIndex::Removed,
            Ok(Some(WireResult::NotLeader(_)) | None) => ReadIndex::NotLeader,
            Err(error) => {
                tracing::debug!(%node, %error, "read index request failed");
                ReadIndex::NotLeader
            }
        }
    }
}

/// Returns a read index for `requester` if this node leads and a majority confirms it now.
pub(crate) async fn read_index(raft: &Raft, store: &Store, requester: NodeId) -> ReadIndex {
    let Ok((read, _)) = raft.get_read_log_id(ReadPolicy::ReadIndex).await else {
        return ReadIndex::NotLeader;
    };
    let index = read.index();
    let is_member = {
        let metrics = raft.server_metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        membership.nodes().any(|(node, _)| *node == requester)
    };
    // An initial member is a Raft member before it is registered; a later agent is registered
    // before it is a Raft member.
    if is_member || is_registered(store, requester) {
        return ReadIndex::Index(index);
    }
    let mut applied = store.applied();
    if applied.wait_for(|applied| *applied >= index).await.is_err() {
        return ReadIndex::NotLeader;
    }
    if is_registered(store, requester) { ReadIndex::Index(index) } else { ReadIndex::Removed }
}

fn is_registered(store: &Store, node: NodeId) -> bool {
    store.state().agents.values().any(|agent| agent.description.node == node)
}
