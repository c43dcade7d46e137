//! The members of the cluster, and operations on them.

use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::agent::Address;
use meridian_domain::status::{AgentResponse, MedianRoundTrips, Member, UnitLoads};
use meridian_domain::{AgentName, ClusterId, Epoch, NodeId, Revision};
use tokio::time::Instant;

/// Error of an operation on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No leader responded in time.
    #[error("no leader responded: possibly no majority of the voters is reachable")]
    NoLeader,
    /// Raft has stopped on this node.
    #[error("this agent is shutting down; retry on another agent")]
    ShuttingDown,
    /// No other voter is able to lead.
    #[error("no transfer target: no other voter responds to the leader")]
    NoTransferTarget,
    /// Leadership cannot be transferred to the node, because it has no vote.
    #[error("{agent} cannot lead: it is not a voter")]
    NotAVoter {
        /// The agent that was named, or the id of its node.
        agent: String,
    },
    /// Another voter was elected during a leadership transfer.
    #[error("{leader} was elected instead of the transfer target")]
    NotElected {
        /// Agent of the new leader, or the id of its node.
        leader: String,
    },
    /// The operation was started and did not complete in time.
    #[error("{what} was started and did not complete within {waited:.1?}")]
    TimedOut {
        /// The operation.
        what: &'static str,
        /// Time waited.
        waited: Duration,
    },
    /// The invited agent refused or is unreachable.
    #[error("{cause}")]
    NotInvited {
        /// The agent, and its refusal or the connection error.
        cause: String,
    },
    /// The agent was not found at an address.
    #[error("{agent} was not identified: {cause}")]
    NotIdentified {
        /// The agent.
        agent: AgentName,
        /// What responds at the address, or the connection error.
        cause: String,
    },
    /// The peer refused or is unreachable.
    #[error("{peer}: {cause}")]
    Peer {
        /// The peer.
        peer: String,
        /// Its refusal, or the connection error.
        cause: String,
    },
}

/// Members that were informed of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readdressed {
    /// Members that will use it, this node included.
    pub informed: Vec<NodeId>,
    /// Members that did not respond.
    pub unreachable: Vec<NodeId>,
}

/// The cluster as a whole.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Returns the identity of the cluster.
    fn id(&self) -> ClusterId;

    /// Returns the epoch of the cluster that this node is in.
    fn epoch(&self) -> Epoch;

    /// Returns this node.
    fn node(&self) -> NodeId;

    /// Returns the time without an acknowledgement of the leader's appends after which a member
    /// counts as unreachable.
    fn unreachable_after(&self) -> Duration;

    /// Returns every member, with the leader's contacts and plans if the leader responds before the
    /// deadline.
    async fn members(&self, deadline: Instant) -> Vec<Member>;

    /// Requests the position of every agent, concurrently. The list includes agents that do not
    /// respond.
    async fn agents(&self, deadline: Instant) -> Vec<AgentResponse>;

    /// Returns the latest round trips from this node to the other members.
    fn round_trips(&self) -> MedianRoundTrips;

    /// Requests the load of the units of every agent, concurrently. The units of agents that do not
    /// respond are missing.
    async fn loads(&self, deadline: Instant) -> UnitLoads;

    /// Transfers leadership to `to`, or to the most up-to-date voter, and returns the new leader.
    ///
    /// # Errors
    /// A [`ClusterError`]; after a timeout, leadership may still move.
    async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, ClusterError>;

    /// Builds a snapshot on this node and purges its log up to it. Returns the revision of the
    /// snapshot once the log is purged.
    ///
    /// # Errors
    /// A [`ClusterError`]. A timeout includes the case that entries to be purged are still being
    /// sent to a member that is behind.
    async fn snapshot(&self, deadline: Instant) -> Result<Revision, ClusterError>;

    /// Invites a waiting agent that belongs to no cluster, at its peer address, and returns its
    /// name. The agent then registers itself.
    ///
    /// # Errors
    /// A [`ClusterError`].
    async fn invite(&self, peer: &Address, deadline: Instant) -> Result<AgentName, ClusterError>;

    /// Informs the members that an agent is at `peer`, once it was identified there. Needs no
    /// quorum. The agent itself then records the address in the log.
    ///
    /// # Errors
    /// [`ClusterError::NotIdentified`]; nothing was changed.
    async fn readdress(
        &self,
        agent: &AgentName,
        node: NodeId,
        peer: &Address,
        deadline: Instant,
    ) -> Result<Readdressed, ClusterError>;
}
