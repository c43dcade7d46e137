//! Implements the [`Cluster`] port: the members, their status, and operations on them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::agent::Address;
use meridian_domain::{AgentName, ClusterId, Digest, Epoch, Incarnation, NodeId, Revision};
use meridian_ports::{
    AgentResponse, Cluster, ClusterError, DiskSpace, LastContact, MedianRoundTrips, Member, Next,
    Progress, Readdressed, Role, SharedSetting, SharedSettings, UnitLoad, UnitLoads,
};
use meridian_proto::v1 as proto;
use meridian_storage::raft::TypeConfig;
use meridian_storage::store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::contact::ContactTracker;
use crate::disk_space::DiskSpaceRecord;
use crate::instance::Raft;
use crate::leader_watch::LeaderWatch;
use crate::membership::{MAX_SILENCE, Membership, MembershipView};
use crate::peer::epoch::ClusterEpoch;
use crate::peer::introductions::identify_as;
use crate::peer::links::Links;
use crate::peer::meeting::{Admission, admit, identify};
use crate::peer::membership::parse_membership_response;
use crate::suspension::Suspension;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::{RaftMetrics, WaitError};

/// Interval at which a transfer or a snapshot is requested again while it is in progress.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Timeout of each request to an invited agent.
const INVITE_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout for a member to respond to an introduction. One that is down must not delay the others'
/// response to the operator.
const INTRODUCE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for which status shows a second process of an agent after its last request.
const DUPLICATE_TIME: Duration = Duration::from_secs(60);

/// Implements [`Cluster`]. Cheap to clone.
#[derive(Clone)]
pub struct Members {
    pub(crate) cluster: ClusterEpoch,
    pub(crate) node: NodeId,
    pub(crate) raft: Raft,
    pub(crate) store: Store,
    pub(crate) links: Arc<Links>,
    pub(crate) leader_watch: LeaderWatch,
    pub(crate) contact: ContactTracker,
    pub(crate) membership: Membership,
    /// Silence after which a member counts as unreachable.
    pub(crate) unreachable_after: Duration,
    pub(crate) space: Arc<DiskSpaceRecord>,
    pub(crate) suspension: Suspension,
    /// Settings of this agent that are to be equal on all members.
    pub(crate) settings: watch::Receiver<SharedSettings>,
    /// Round trips to the other members, as they are measured.
    pub(crate) round_trips: watch::Receiver<MedianRoundTrips>,
    /// Loads of the units of this node's agent, as the agent publishes them.
    pub(crate) loads: watch::Receiver<UnitLoads>,
}

impl Members {
    /// Returns the leader that this node follows or is; `None` while this node is suspended.
    fn known_leader(&self) -> Option<NodeId> {
        self.leader_watch.known_leader().filter(|_| !self.suspension.is_active())
    }

    /// Returns the leader's view of the members; `None` if no leader responds.
    async fn view(&self, deadline: Instant) -> Option<MembershipView> {
        if self.suspension.is_active() {
            return None;
        }
        if let Some(own) = self.membership.view() {
            return Some(own);
        }
        let leader = self.leader_watch.known_leader()?;
        let response = timeout_at(deadline, self.links.membership(leader)).await.ok()?;
        parse_membership_response(response.ok()?)
    }

    async fn status_of(&self, agent: AgentName, node: NodeId, deadline: Instant) -> AgentResponse {
        let duplicated = self.links.pool().book().duplicates(DUPLICATE_TIME).contains(&node);
        if node == self.node {
            let position = Some(self.store.progress().await);
            let (lag, disk) = (self.contact.since_leader_contact(), self.space.measured());
            let settings = self.settings.borrow().clone();
            return AgentResponse { agent, position, lag, disk, duplicated, settings };
        }
        match timeout_at(deadline, self.links.position(node)).await {
            Ok(Ok(response)) => AgentResponse {
                agent,
                lag: response.leader_contact_ms.map(Duration::from_millis),
                position: progress(&response),
                disk: disk_space(&response),
                duplicated,
                settings: settings(response.settings),
            },
            Ok(Err(_)) | Err(_) => AgentResponse {
                agent,
                position: None,
                lag: None,
                disk: None,
                duplicated,
                settings: SharedSettings::new(),
            },
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
            Ok(Ok(response)) => response.units.into_iter().map(row).collect(),
            Ok(Err(_)) | Err(_) => UnitLoads::new(),
        }
    }

    /// Returns the requested voter, or the most up-to-date one other than the leader. Excludes
    /// unreachable voters, because a leader stops leading during a transfer even if it fails.
    async fn transfer_target(
        &self,
        requested: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, ClusterError> {
        let view = self.view(deadline).await.ok_or(ClusterError::NoLeader)?;
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        let leader = metrics.current_leader.ok_or(ClusterError::NoLeader)?;
        let voters: Vec<_> = metrics.membership_config.voter_ids().collect();
        // A member that a new leader has not heard from yet counts as reachable.
        let is_reachable = |node: &NodeId| {
            let contact = view.contacts.get(node);
            *node == leader || contact.is_some_and(|contact| contact.silence() < MAX_SILENCE)
        };
        match requested {
            Some(node) if !voters.contains(&node) => {
                Err(ClusterError::NotAVoter { agent: agent_name(&self.store, node) })
            }
            Some(node) if !is_reachable(&node) => Err(ClusterError::Peer {
                peer: agent_name(&self.store, node),
                cause: "unreachable from the leader; leadership was not transferred".to_owned(),
            }),
            Some(node) => Ok(node),
            None => {
                let others =
                    voters.into_iter().filter(|node| *node != leader && is_reachable(node));
                view.most_up_to_date(others).ok_or(ClusterError::NoTransferTarget)
            }
        }
    }
}

/// Returns the name of the node's agent, or the id of the node if it has none.
pub(crate) fn agent_name(store: &Store, node: NodeId) -> String {
    let state = store.state();
    let mut agents = state.agents.values().map(|agent| &agent.description);
    let agent = agents.find(|agent| agent.node == node);
    agent.map_or_else(|| node.to_string(), |agent| agent.name.to_string())
}

/// Returns the progress that a member reports; `None` if a hash is malformed.
fn progress(response: &proto::PositionResponse) -> Option<Progress> {
    let hash = |bytes: &[u8]| bytes.try_into().ok().map(Digest);
    Some(Progress {
        revision: Revision(response.revision),
        applied: response.applied,
        state: hash(&response.state_hash)?,
        events: hash(&response.events_hash)?,
    })
}

/// Returns the disk space that a member reports; `None` if it did not measure it.
pub(crate) fn disk_space(response: &proto::PositionResponse) -> Option<DiskSpace> {
    response.disk.map(|proto::DiskSpace { free, minimum }| DiskSpace { free, minimum })
}

/// Returns the settings that a member reports. Those that only a newer version has are ignored.
fn settings(reported: impl IntoIterator<Item = (String, String)>) -> SharedSettings {
    let known = |(key, value): (String, String)| Some((SharedSetting::from_key(&key)?, value));
    reported.into_iter().filter_map(known).collect()
}

#[async_trait]
impl Cluster for Members {
    fn id(&self) -> ClusterId {
        self.cluster.cluster()
    }

    fn epoch(&self) -> Epoch {
        self.cluster.epoch()
    }

    fn node(&self) -> NodeId {
        self.node
    }

    fn unreachable_after(&self) -> Duration {
        self.unreachable_after
    }

    async fn members(&self, deadline: Instant) -> Vec<Member> {
        let view = self.view(deadline).await;
        let leader = self.known_leader();
        let membership = self.raft.server_metrics().borrow_watched().membership_config.clone();
        let voters: Vec<_> = membership.voter_ids().collect();
        let next = |node: NodeId, view: &MembershipView| {
            view.pending.get(&node).cloned().map_or(Next::Stay, Next::Change)
        };
        let member = |node: NodeId| {
            let voter = voters.contains(&node);
            let role = match (leader == Some(node), voter) {
                (true, _) => Role::Leader,
                (false, true) => Role::Follower,
                (false, false) => Role::Learner,
            };
            let leads = view.is_some() && leader == Some(node);
            let contact = view.as_ref().and_then(|view| view.contacts.get(&node).copied());
            let last_contact = contact.or(leads.then_some(LastContact::Ago(Duration::ZERO)));
            let next = view.as_ref().map(|view| next(node, view));
            Member { node, role, voter, last_contact, next }
        };
        membership.nodes().map(|(node, _)| member(*node)).collect()
    }

    async fn agents(&self, deadline: Instant) -> Vec<AgentResponse> {
        let agents: Vec<_> = {
            let state = self.store.state();
            let agents = state.agents.iter();
            agents.map(|(name, agent)| (name.clone(), agent.description.node)).collect()
        };
        let requests = agents.into_iter().map(|(name, node)| self.status_of(name, node, deadline));
        futures::future::join_all(requests).await
    }

    fn round_trips(&self) -> MedianRoundTrips {
        self.round_trips.borrow().clone()
    }

    async fn loads(&self, deadline: Instant) -> UnitLoads {
        let nodes: Vec<_> = {
            let state = self.store.state();
            state.agents.values().map(|agent| agent.description.node).collect()
        };
        let requests = nodes.into_iter().map(|node| self.loads_of(node, deadline));
        futures::future::join_all(requests).await.into_iter().flatten().collect()
    }

    async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, ClusterError> {
        let started = Instant::now();
        let target = self.transfer_target(to, deadline).await?;
        let first = self.leader_watch.known_leader();
        let transferred = async {
            loop {
                match self.leader_watch.known_leader() {
                    Some(leader) if leader == target => return Ok(target),
                    _ if !self.membership.is_voter(target) => {
                        return Err(ClusterError::NotAVoter {
                            agent: agent_name(&self.store, target),
                        });
                    }
                    Some(leader) if Some(leader) != first => {
                        return Err(ClusterError::NotElected {
                            leader: agent_name(&self.store, leader),
                        });
                    }
                    // Requested again in each iteration, because Raft does not retransmit a lost
                    // request.
                    Some(leader) if leader == self.node => {
                        let requested = self.membership.transfer_leadership(target).await;
                        requested.map_err(|_| ClusterError::ShuttingDown)?;
                    }
                    Some(leader) => tokio::select! {
                        _ = self.links.transfer_leadership(leader, target) => {}
                        // A leader that hangs would hold the request, although it was replaced.
                        () = self.leader_watch.leader_other_than(leader) => continue,
                    },
                    None => {}
                }
                self.leader_watch.changed_within(RETRY_INTERVAL).await;
            }
        };
        timeout_at(deadline, transferred).await.unwrap_or_else(|_| {
            let what = "the leadership transfer";
            Err(ClusterError::TimedOut { what, waited: started.elapsed() })
        })
    }

    async fn snapshot(&self, deadline: Instant) -> Result<Revision, ClusterError> {
        let started = Instant::now();
        let stopped = |_| ClusterError::ShuttingDown;
        let applied = *self.store.applied().borrow();
        let built = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.snapshot.as_ref().is_some_and(|snapshot| snapshot.index >= applied)
        };
        let index = loop {
            // Requested again in each iteration: Raft drops the request while it builds an earlier
            // snapshot, which may not reach `applied`.
            self.raft.trigger().snapshot().await.map_err(stopped)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let raft = self.raft.wait(Some(left.min(RETRY_INTERVAL)));
            let attempt = raft.metrics(built, "the snapshot is built").await;
            match attempt.ok().and_then(|metrics| metrics.snapshot) {
                Some(snapshot) => break snapshot.index,
                None if left > RETRY_INTERVAL => {}
                None => {
                    let waited = started.elapsed();
                    return Err(ClusterError::TimedOut { what: "the snapshot", waited });
                }
            }
        };
        let snapshot = self.raft.get_snapshot().await.map_err(|_| ClusterError::ShuttingDown)?;
        let revision = snapshot.expect("a snapshot was built").snapshot.revision();
        self.raft.trigger().purge_log(index).await.map_err(stopped)?;
        // A leader does not purge entries that it is sending. A dead member delays the purge only
        // briefly.
        let purged = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.purged.as_ref().is_some_and(|purged| purged.index >= index)
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let purge = self.raft.wait(Some(left)).metrics(purged, "the log is purged").await;
        purge.map(|_| revision).map_err(|error| match error {
            WaitError::ShuttingDown => ClusterError::ShuttingDown,
            WaitError::Timeout(..) => {
                let what = "purging the log up to the snapshot";
                ClusterError::TimedOut { what, waited: started.elapsed() }
            }
        })
    }

    async fn invite(&self, peer: &Address, deadline: Instant) -> Result<AgentName, ClusterError> {
        let timeout = INVITE_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
        let failed = |cause| ClusterError::NotInvited { cause };
        let invited = identify(self.links.dialer(), peer, timeout).await.map_err(failed)?;
        let endpoints = {
            let state = self.store.state();
            let agents = state.agents.values();
            agents.map(|agent| agent.description.client_address.to_string()).collect()
        };
        let (cluster, epoch) = (self.cluster.cluster(), self.cluster.epoch());
        let admission = Admission { cluster, epoch, endpoints };
        admit(self.links.dialer(), peer, invited.description.node, &admission, timeout)
            .await
            .map_err(failed)?;
        Ok(invited.description.name)
    }

    async fn readdress(
        &self,
        agent: &AgentName,
        node: NodeId,
        peer: &Address,
        deadline: Instant,
    ) -> Result<Readdressed, ClusterError> {
        let (dialer, agent) = (self.links.dialer(), agent.clone());
        let timeout = INVITE_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
        let identified = identify_as(dialer, peer, timeout, self.cluster.cluster(), node)
            .await
            .map_err(|cause| ClusterError::NotIdentified { agent, cause })?;
        let run = identified.run.map(|run| run.id);
        self.links.pool().book().record_verified(node, peer.clone(), run);
        let deadline = deadline.min(Instant::now() + INTRODUCE_TIMEOUT);
        let others = self.links.members().into_iter().map(|(member, _)| member);
        let others = others.filter(|member| *member != self.node && *member != node);
        let introductions = others.map(|member| async move {
            let introduced = timeout_at(deadline, self.links.introduce(member, node, peer)).await;
            (member, matches!(introduced, Ok(Ok(()))))
        });
        let introduced = futures::future::join_all(introductions).await;
        let mut readdressed = Readdressed { informed: vec![self.node], unreachable: Vec::new() };
        for (member, responded) in introduced {
            if responded {
                readdressed.informed.push(member);
            } else {
                readdressed.unreachable.push(member);
            }
        }
        Ok(readdressed)
    }
}
