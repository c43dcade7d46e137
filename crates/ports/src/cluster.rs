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
    /// When the leader last heard of it; none if no leader answers.
    pub last_contact: Option<LastContact>,
    /// What is to become of it; none if no leader answers.
    pub next: Option<Next>,
}

/// When the leader last heard of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastContact {
    /// So long ago.
    Ago(Duration),
    /// Not since it began to lead, which is at least so long ago. What an earlier leader heard is not
    /// known.
    NotFor(Duration),
}

impl LastContact {
    /// How long the member has been silent, at least.
    #[must_use]
    pub fn silence(self) -> Duration {
        match self {
            Self::Ago(silence) | Self::NotFor(silence) => silence,
        }
    }
}

/// What is to become of a member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It stays what it is.
    Stay,
    /// It changes.
    Change(Pending),
}

/// A change of the membership that has to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What changes.
    pub change: MemberChange,
    /// What it waits for; none while it is under way.
    pub waits_for: Option<WaitsFor>,
}

/// How a member changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// It is to vote.
    GainVote,
    /// It is to follow without a vote.
    LoseVote,
    /// Its agent was removed: it is to be no member.
    Leave,
}

/// What a change of the membership waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// The member does not answer the leader.
    Answer,
    /// The member lacks too much of the log.
    CatchUp {
        /// How many entries; none while it has nothing of it.
        behind: Option<u64>,
    },
    /// Of the voters that there would be, too few answer.
    Majority {
        /// How many voters there would be.
        voters: usize,
        /// Those of them that do not answer.
        silent: Vec<NodeId>,
    },
    /// Those that are to vote in its place are not ready to.
    Replacement {
        /// They.
        by: Vec<NodeId>,
    },
    /// The member leads, and none of those that are to vote is ready to lead.
    Heir {
        /// They.
        among: Vec<NodeId>,
    },
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
    /// There is no other voter to lead.
    #[error("no other voter answers the leader, so none can take over")]
    NoHeir,
    /// The node is not one to which leadership can go.
    #[error("{agent} is not a voter, so it cannot lead")]
    NotAVoter {
        /// The agent named, or the id of its node.
        agent: String,
    },
    /// It was begun and not seen to end in time.
    #[error("{what} was begun and has not ended within {waited:.1?}")]
    TimedOut {
        /// What was begun.
        what: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The agent to be invited refused, or could not be reached.
    #[error("{cause}")]
    NotInvited {
        /// Which one, and its answer or what kept it away.
        cause: String,
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

    /// Every member, with what the leader knows of it where the leader answers before the deadline.
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
    /// snapshot has, once the log is purged.
    ///
    /// # Errors
    /// A [`ClusterError`]: that it timed out also where a member that is behind is being sent entries
    /// which the purge would take away.
    async fn snapshot(&self, deadline: Instant) -> Result<Revision, ClusterError>;

    /// Invites an agent that waits without a cluster, at its peer address. Returns its name; it
    /// registers itself.
    ///
    /// # Errors
    /// A [`ClusterError`].
    async fn invite(&self, peer: &Address, deadline: Instant) -> Result<AgentName, ClusterError>;
}
