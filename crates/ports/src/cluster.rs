//! The members of the cluster, and what operators do to them.

use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::agent::Address;
use meridian_domain::{AgentName, ClusterId, Digest, NodeId, Revision};
use tokio::time::Instant;

use crate::UnitLoads;

/// What a member is in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It decides and replicates.
    Leader,
    /// It votes and follows.
    Follower,
    /// It follows without a vote.
    Learner,
}

/// A Raft member, as the membership on this node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Whether its vote counts. A leader on its way out may have none.
    pub voter: bool,
    /// How long ago the leader last heard of it; none if that is not known.
    pub last_contact: Option<Duration>,
}

/// How far an agent is, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Which agent.
    pub agent: AgentName,
    /// What it has applied; none if it did not answer in time.
    pub position: Option<Progress>,
    /// How far it is behind the leader, in time; none if that is not known.
    pub lag: Option<Duration>,
}

/// What an agent has applied, all of it at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last event.
    pub revision: Revision,
    /// The last log index. Refusals have one and no revision: agents that are at the same index have
    /// the same state, and agents at the same revision have the same events.
    pub applied: u64,
    /// The hash of the whole state, outcomes of requests included.
    pub state: Digest,
    /// The hash over all events.
    pub events: Digest,
}

/// Why an operation on the cluster did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// There is no leader to do it.
    #[error("there is no leader: a majority of the voters cannot be reached")]
    NoLeader,
    /// The node is not one to which leadership can go.
    #[error("{node} is not a voter, so it cannot lead")]
    NotAVoter {
        /// The node named.
        node: NodeId,
    },
    /// It was begun and not seen to end in time.
    #[error("{what} was begun and has not ended within {waited:?}")]
    TimedOut {
        /// What was begun.
        what: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The other side refused or could not be reached.
    #[error("{peer}: {cause}")]
    Peer {
        /// Whom it was asked of.
        peer: String,
        /// Its answer, or what kept it away.
        cause: String,
    },
}

/// The cluster as a whole.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The cluster's identity.
    fn id(&self) -> ClusterId;

    /// This node.
    fn node(&self) -> NodeId;

    /// The leader, as far as this node knows one that it follows.
    fn leader(&self) -> Option<NodeId>;

    /// Every member, with the leader's contact times where the leader answers before the deadline.
    async fn members(&self, deadline: Instant) -> Vec<Member>;

    /// Asks every agent how far it is, all at once; those that do not answer are in the list too.
    async fn agents(&self, deadline: Instant) -> Vec<AgentStatus>;

    /// Asks every agent how busy its units are, all at once; those of agents that do not answer are
    /// missing.
    async fn loads(&self, deadline: Instant) -> UnitLoads;

    /// Hands leadership to a voter: the given one, or the most up to date. Returns the new leader.
    ///
    /// # Errors
    /// A [`ClusterError`]; after a time-out, leadership may still move.
    async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, ClusterError>;

    /// Builds a snapshot on this node and purges its log up to it. Returns the revision that the
    /// snapshot has.
    ///
    /// # Errors
    /// A [`ClusterError`].
    async fn snapshot(&self, deadline: Instant) -> Result<Revision, ClusterError>;

    /// Invites an agent that waits without a cluster, at its peer address. Returns its name; it
    /// registers itself.
    ///
    /// # Errors
    /// A [`ClusterError`].
    async fn invite(&self, peer: &Address, deadline: Instant) -> Result<AgentName, ClusterError>;
}
