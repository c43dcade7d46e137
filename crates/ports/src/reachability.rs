//! Reachability of gateways: what the probes of this agent found, and what the leader makes of it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use meridian_domain::reachability::Gateways;
use meridian_domain::reachability::votes::{Observations, VoteCount};
use meridian_domain::{AgentName, NodeId};
use tokio::time::Instant;

/// Results of the probes of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Number of the report within the run of the process. A leader ignores a report that arrives
    /// after a later one.
    pub number: u64,
    /// Results of the probes.
    pub observations: Observations,
}

/// No leader responded in time. A report may have been received, and is sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no leader responded: {cause}")]
pub struct NoLeaderResponse {
    /// The cause.
    pub cause: String,
}

/// Gateways that an agent fails to reach itself, as it finds while the leader is silent. They decide
/// nothing but the responses of its own name server, which gives others first. `None` while the leader
/// responds: the replicated state then says which gateways are lost.
pub type LocalView = Option<BTreeSet<(AgentName, Gateways)>>;

/// Votes on the reachability of gateways.
#[async_trait]
pub trait Reachability: Send + Sync {
    /// Sends a report to the leader. Returns the members that do not acknowledge its appends.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`NoLeaderResponse`].
    async fn report(
        &self,
        report: ProbeReport,
        deadline: Instant,
    ) -> Result<BTreeSet<NodeId>, NoLeaderResponse>;

    /// Returns the votes as the leader counted them last: those on gateways that some group fails to
    /// reach, and on lost ones. Cancel-safe.
    ///
    /// # Errors
    /// [`NoLeaderResponse`].
    async fn votes(&self, deadline: Instant) -> Result<Vec<VoteCount>, NoLeaderResponse>;
}
