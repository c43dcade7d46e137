//! Reads: the state on this node, once it is as fresh as the reader wants (decision of the design:
//! answer locally at the leader's read index).
//!
//! Waiters are coalesced: one question to the leader serves everyone who was waiting when it was asked,
//! never those who came later, since what was acknowledged in between might be missing from it.

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

use crate::contact::Contact;
use crate::instance::Raft;
use crate::leader_watch::LeaderWatch;
use crate::peer::links::Links;

/// Reads that wait for a read index at most; a further one waits for room.
const QUEUE: usize = 1_024;
/// How long one question to the leader may take before it is asked anew, maybe of another.
const QUESTION: Duration = Duration::from_secs(1);
/// Between two questions that had no answer.
const PAUSE: Duration = Duration::from_millis(25);

/// Implements [`Read`]. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    questions: mpsc::Sender<oneshot::Sender<Result<u64, ReadError>>>,
    store: Store,
    contact: Contact,
}

impl Reader {
    /// Starts the task that asks leaders; it ends when every handle is dropped.
    pub(crate) fn start(asker: Asker, store: Store, contact: Contact, fuse: &Fuse) -> Self {
        let (questions, waiting) = mpsc::channel(QUEUE);
        fuse.guard("the task that asks for read indexes", asker.run(waiting));
        Self { questions, store, contact }
    }

    fn point(&self) -> ReadPoint {
        let revision = self.store.state().header.revision;
        ReadPoint { revision, leader_contact: self.contact.age() }
    }

    async fn linearize(&self, deadline: Instant) -> Result<(), ReadError> {
        let began = Instant::now();
        let no_leader = |_| ReadError::NoLeader { waited: began.elapsed() };
        let (answer, answered) = oneshot::channel();
        let asked = async {
            // The asker lives as long as a handle of it does.
            let _ = self.questions.send(answer).await;
            answered.await.unwrap_or(Err(ReadError::NoLeader { waited: began.elapsed() }))
        };
        let index = timeout_at(deadline, asked).await.map_err(no_leader)??;
        let mut applied = self.store.applied();
        let caught_up = applied.wait_for(|applied| *applied >= index);
        match timeout_at(deadline, caught_up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ReadError::Behind { index, waited: began.elapsed() }),
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

/// What the leader says to a question for a read index.
pub(crate) enum Indexed {
    /// Everything acknowledged before the question is in the log up to this index.
    Index(u64),
    /// The node asked does not lead, or no longer.
    NotLeader,
    /// The leader does not know the asking node.
    Removed,
}

/// Asks leaders for read indexes, this node where it leads.
pub(crate) struct Asker {
    pub node: NodeId,
    pub raft: Raft,
    pub store: Store,
    pub leader_watch: LeaderWatch,
    pub links: Arc<Links>,
}

impl Asker {
    async fn run(self, mut waiting: mpsc::Receiver<oneshot::Sender<Result<u64, ReadError>>>) {
        while let Some(first) = waiting.recv().await {
            let mut round = vec![first];
            while let Ok(next) = waiting.try_recv() {
                round.push(next);
            }
            let answer = self.ask_until_answered(&round).await;
            for waiter in round {
                let _ = waiter.send(answer.clone());
            }
        }
    }

    /// Asks until somebody answers or nobody waits for it any more.
    async fn ask_until_answered(
        &self,
        round: &[oneshot::Sender<Result<u64, ReadError>>],
    ) -> Result<u64, ReadError> {
        let mut elsewhere = 0;
        loop {
            let asked = async {
                match self.leader_watch.known_leader() {
                    Some(leader) if leader == self.node => {
                        read_index(&self.raft, &self.store, self.node).await
                    }
                    Some(leader) => self.ask(leader).await,
                    None => self.ask_somebody(&mut elsewhere).await,
                }
            };
            match tokio::time::timeout(QUESTION, asked).await {
                Ok(Indexed::Index(index)) => return Ok(index),
                Ok(Indexed::Removed) => return Err(ReadError::Removed),
                Ok(Indexed::NotLeader) | Err(_) => {}
            }
            if round.iter().all(oneshot::Sender::is_closed) {
                return Err(ReadError::NoLeader { waited: QUESTION });
            }
            self.leader_watch.changed_or(PAUSE).await;
        }
    }

    /// A node that was removed hears of no leader any more; any member it once knew can still tell it.
    async fn ask_somebody(&self, next: &mut usize) -> Indexed {
        let members = self.links.members();
        let others: Vec<_> = members.iter().filter(|(node, _)| *node != self.node).collect();
        *next += 1;
        match others.get(*next % others.len().max(1)) {
            Some((node, _)) => self.ask(*node).await,
            None => Indexed::NotLeader,
        }
    }

    async fn ask(&self, node: NodeId) -> Indexed {
        let request = proto::ReadIndexRequest { node: self.node.0 };
        match self.links.read_index(node, request).await.map(|response| response.result) {
            Ok(Some(WireResult::Index(index))) => Indexed::Index(index),
            Ok(Some(WireResult::Removed(_))) => Indexed::Removed,
            Ok(Some(WireResult::NotLeader(_)) | None) => Indexed::NotLeader,
            Err(error) => {
                tracing::debug!(%node, %error, "no read index");
                Indexed::NotLeader
            }
        }
    }
}

/// A read index for `asker`, if this node leads and a majority confirms it now.
pub(crate) async fn read_index(raft: &Raft, store: &Store, asker: NodeId) -> Indexed {
    let Ok((read, _)) = raft.get_read_log_id(ReadPolicy::ReadIndex).await else {
        return Indexed::NotLeader;
    };
    let index = read.index();
    let is_member = {
        let metrics = raft.server_metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        membership.nodes().any(|(node, _)| *node == asker)
    };
    // A founder is a member before it is registered, a newcomer is registered before it is a member.
    if is_member || store.state().agents.values().any(|agent| agent.description.node == asker) {
        return Indexed::Index(index);
    }
    let mut applied = store.applied();
    if applied.wait_for(|applied| *applied >= index).await.is_err() {
        return Indexed::NotLeader;
    }
    let known = store.state().agents.values().any(|agent| agent.description.node == asker);
    if known { Indexed::Index(index) } else { Indexed::Removed }
}
