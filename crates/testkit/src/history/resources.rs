//! Records of the resources of agents.

use serde::{Deserialize, Serialize};

use super::Micros;

/// Resources of an agent process at rest: before the load, and after the quiescent phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Time of the sample.
    pub at: Micros,
    /// The agent.
    pub node: String,
    /// True if the agent was the leader, which has connections that others lack.
    pub leader: bool,
    /// Number of its running units, for each of which it holds descriptors.
    pub units: u64,
    /// Number of open file descriptors, sockets included.
    pub descriptors: u64,
    /// Number of open sockets.
    pub sockets: u64,
    /// Number of threads.
    pub threads: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}
