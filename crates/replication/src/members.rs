//! Implements the [`Cluster`] port: who keeps the log, and how they are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::agent::Address;
use meridian_domain::{AgentName, ClusterId, Digest, Incarnation, NodeId, Revision};
use meridian_ports::{
    AgentResponse, Cluster, ClusterError, LastContact, Member, Next, Progress, Role, UnitLoad,
    UnitLoads,
};
use meridian_proto::v1 as proto;
use meridian_storage::raft::TypeConfig;
use meridian_storage::store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::contact::Contact;
use crate::instance::Raft;
use crate::leader_watch::LeaderWatch;
use crate::membership::{ANSWERS, Known, Membership};
use crate::peer::links::Links;
use crate::peer::meeting::{Admission, admit, identify};
use crate::peer::membership::known;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::{RaftMetrics, WaitError};

/// How often a transfer or a snapshot is asked for again while it goes on.
const LOOK: Duration = Duration::from_millis(200);
/// How long another agent may take to answer an invitation.
const PATIENCE: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub struct Members {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) raft: Raft,
    pub(crate) store: Store,
    pub(crate) links: Arc<Links>,
    pub(crate) leader_watch: LeaderWatch,
    pub(crate) contact: Contact,
    pub(crate) membership: Membership,
    /// Silence after which a member counts as unreachable.
    pub(crate) unreachable_after: Duration,
    /// What the agent of this node says of its units.
    pub(crate) loads: watch::Receiver<UnitLoads>,
}

impl Members {
    /// What the leader knows of the members; none where no leader answers.
    async fn known(&self, deadline: Instant) -> Option<Known> {
        if let Some(own) = self.membership.known() {
            return Some(own);
        }
        let leader = self.leader_watch.known_leader()?;
        let answer = timeout_at(deadline, self.links.membership(leader)).await.ok()?;
        known(answer.ok()?)
    }

    async fn status_of(&self, agent: AgentName, node: NodeId, deadline: Instant) -> AgentResponse {
        if node == self.node {
            let position = Some(self.store.progress().await);
            return AgentResponse { agent, position, lag: self.contact.age() };
        }
        match timeout_at(deadline, self.links.position(node)).await {
            Ok(Ok(answer)) => AgentResponse {
                agent,
                lag: answer.leader_contact_ms.map(Duration::from_millis),
                position: progress(&answer),
            },
            Ok(Err(_)) | Err(_) => AgentResponse { agent, position: None, lag: None },
        }
    }

    async fn loads_of(&self, node: NodeId, deadline: Instant) -> UnitLoads {
        if node == self.node {
            return self.loads.borrow().clone();
        }
        let row = |row: proto::UnitLoadRow| {
            let (in_flight, utilization_permille) = (row.in_flight, row.utilization_permille);
            (Incarnation(row.incarnation), UnitLoad { in_flight, utilization_permille })
        };
        match timeout_at(deadline, self.links.loads(node)).await {
            Ok(Ok(answer)) => answer.units.into_iter().map(row).collect(),
            Ok(Err(_)) | Err(_) => UnitLoads::new(),
        }
    }

    /// The name of the node's agent; its id where it has none.
    fn name_of(&self, node: NodeId) -> String {
        let state = self.store.state();
        let mut agents = state.agents.values().map(|agent| &agent.description);
        let agent = agents.find(|agent| agent.node == node);
        agent.map_or_else(|| node.to_string(), |agent| agent.name.to_string())
    }

    /// The voter that is to lead: the one that was named, or the most up to date. One that does not
    /// answer is refused: a leader that tries to hand over stops leading, whether or not it succeeds.
    async fn heir(&self, named: Option<NodeId>, deadline: Instant) -> Result<NodeId, ClusterError> {
        let known = self.known(deadline).await.ok_or(ClusterError::NoLeader)?;
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leader = metrics.current_leader.ok_or(ClusterError::NoLeader)?;
        let voters: Vec<_> = metrics.membership_config.voter_ids().collect();
        // Of whom a new leader has heard nothing yet may well answer.
        let answers = |node: &NodeId| {
            let contact = known.contacts.get(node);
            *node == leader || contact.is_some_and(|contact| contact.silence() < ANSWERS)
        };
        match named {
            Some(node) if !voters.contains(&node) => {
                Err(ClusterError::NotAVoter { agent: self.name_of(node) })
            }
            Some(node) if !answers(&node) => Err(ClusterError::Peer {
                peer: self.name_of(node),
                cause: "it does not answer the leader, so it cannot take over".to_owned(),
            }),
            Some(node) => Ok(node),
            None => {
                let progress = metrics.replication.unwrap_or_default();
                let others = voters.into_iter().filter(|node| *node != leader && answers(node));
                others
                    .max_by_key(|node| progress.get(node).cloned().flatten().map(|log| log.index))
                    .ok_or(ClusterError::NoTransferTarget)
            }
        }
    }
}

/// What a member says that it has applied.
fn progress(answer: &proto::PositionResponse) -> Option<Progress> {
    let hash = |bytes: &[u8]| bytes.try_into().ok().map(Digest);
    Some(Progress {
        revision: Revision(answer.revision),
        applied: answer.applied,
        state: hash(&answer.state_hash)?,
        events: hash(&answer.events_hash)?,
    })
}

#[async_trait]
impl Cluster for Members {
    fn id(&self) -> ClusterId {
        self.cluster
    }

    fn node(&self) -> NodeId {
        self.node
    }

    fn leader(&self) -> Option<NodeId> {
        self.leader_watch.known_leader()
    }

    fn unreachable_after(&self) -> Duration {
        self.unreachable_after
    }

    async fn members(&self, deadline: Instant) -> Vec<Member> {
        let known = self.known(deadline).await;
        let leader = self.leader_watch.known_leader();
        let membership = self.raft.server_metrics().borrow_watched().membership_config.clone();
        let voters: Vec<_> = membership.voter_ids().collect();
        let next = |node: NodeId, known: &Known| {
            known.pending.get(&node).cloned().map_or(Next::Stay, Next::Change)
        };
        let member = |node: NodeId| {
            let voter = voters.contains(&node);
            let role = match (leader == Some(node), voter) {
                (true, _) => Role::Leader,
                (false, true) => Role::Follower,
                (false, false) => Role::Learner,
            };
            let leads = known.is_some() && leader == Some(node);
            let contact = known.as_ref().and_then(|known| known.contacts.get(&node).copied());
            let last_contact = contact.or(leads.then_some(LastContact::Ago(Duration::ZERO)));
            Member { node, role, voter, last_contact, next: known.as_ref().map(|k| next(node, k)) }
        };
        membership.nodes().map(|(node, _)| member(*node)).collect()
    }

    async fn agents(&self, deadline: Instant) -> Vec<AgentResponse> {
        let agents: Vec<_> = {
            let state = self.store.state();
            let named = state.agents.iter();
            named.map(|(name, agent)| (name.clone(), agent.description.node)).collect()
        };
        let asked = agents.into_iter().map(|(name, node)| self.status_of(name, node, deadline));
        futures::future::join_all(asked).await
    }

    async fn loads(&self, deadline: Instant) -> UnitLoads {
        let nodes: Vec<_> = {
            let state = self.store.state();
            state.agents.values().map(|agent| agent.description.node).collect()
        };
        let asked = nodes.into_iter().map(|node| self.loads_of(node, deadline));
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, ClusterError> {
        let began = Instant::now();
        let heir = self.heir(to, deadline).await?;
        let first = self.leader_watch.known_leader();
        let moved = async {
            loop {
                match self.leader_watch.known_leader() {
                    Some(leader) if leader == heir => return Ok(heir),
                    _ if !self.membership.votes(heir) => {
                        return Err(ClusterError::NotAVoter { agent: self.name_of(heir) });
                    }
                    // Asked again each round: a request that is lost is not repeated by Raft.
                    Some(leader) if Some(leader) != first => {
                        let cause = "it was elected instead".to_owned();
                        return Err(ClusterError::Peer { peer: leader.to_string(), cause });
                    }
                    Some(leader) if leader == self.node => {
                        let asked = self.membership.hand_over(heir).await;
                        asked.map_err(|_| ClusterError::NoLeader)?;
                    }
                    Some(leader) => drop(self.links.hand_over(leader, heir).await),
                    None => {}
                }
                self.leader_watch.changed_or(LOOK).await;
            }
        };
        timeout_at(deadline, moved).await.unwrap_or_else(|_| {
            let what = "the transfer of leadership";
            Err(ClusterError::TimedOut { what, waited: began.elapsed() })
        })
    }

    async fn snapshot(&self, deadline: Instant) -> Result<Revision, ClusterError> {
        let began = Instant::now();
        let stopped = |_| ClusterError::NoLeader;
        let wanted = *self.store.applied().borrow();
        let built = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.snapshot.as_ref().is_some_and(|snapshot| snapshot.index >= wanted)
        };
        let index = loop {
            // Asked again each round: Raft drops the request while it builds one that was begun
            // earlier, and that one may end before the wanted entry.
            self.raft.trigger().snapshot().await.map_err(stopped)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let raft = self.raft.wait(Some(left.min(LOOK)));
            let round = raft.metrics(built, "the snapshot is built").await;
            match round.ok().and_then(|metrics| metrics.snapshot) {
                Some(snapshot) => break snapshot.index,
                None if left > LOOK => {}
                None => {
                    let waited = began.elapsed();
                    return Err(ClusterError::TimedOut { what: "the snapshot", waited });
                }
            }
        };
        let built = self.raft.get_snapshot().await.map_err(|_| ClusterError::NoLeader)?;
        let revision = built.ok_or(ClusterError::NoLeader)?.snapshot.revision();
        self.raft.trigger().purge_log(index).await.map_err(stopped)?;
        // A leader purges no entry that it is sending; one that is gone stops it for a moment only.
        let purged = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.purged.as_ref().is_some_and(|purged| purged.index >= index)
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let purge = self.raft.wait(Some(left)).metrics(purged, "the log is purged").await;
        purge.map(|_| revision).map_err(|error| match error {
            WaitError::ShuttingDown => ClusterError::NoLeader,
            WaitError::Timeout(..) => {
                let what = "the purge of the log behind a snapshot";
                ClusterError::TimedOut { what, waited: began.elapsed() }
            }
        })
    }

    async fn invite(&self, peer: &Address, deadline: Instant) -> Result<AgentName, ClusterError> {
        let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()));
        let failed = |cause| ClusterError::NotInvited { cause };
        let met = identify(self.links.dialer(), peer, patience).await.map_err(failed)?;
        let endpoints = {
            let state = self.store.state();
            let agents = state.agents.values();
            agents.map(|agent| agent.description.client_address.to_string()).collect()
        };
        let admission = Admission { cluster: self.cluster, endpoints };
        admit(self.links.dialer(), peer, met.description.node, &admission, patience)
            .await
            .map_err(failed)?;
        Ok(met.description.name)
    }
}
