//! Records of injected faults.

use serde::{Deserialize, Serialize};

use super::Micros;

/// A step in the lifecycle of an injected fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Time of the step.
    pub at: Micros,
    /// Number of the fault, unique in the history.
    pub fault: u64,
    /// Kind of fault, such as `partition`.
    pub kind: String,
    /// The affected agents.
    pub nodes: Vec<String>,
    /// The step that was reached.
    pub step: Step,
}

/// Steps in the lifecycle of a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Step {
    /// The fault is about to be injected.
    Started,
    /// An effect of the fault was observed.
    Effective {
        /// The observed effect.
        evidence: String,
    },
    /// The fault was removed.
    Ended,
}

/// Start or end of a storage failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// Time of the step.
    pub at: Micros,
    /// The affected agent.
    pub node: String,
    /// Set when the failure ends because the agent is about to be restarted.
    pub over: bool,
}

/// A process on an agent's machine that does not belong to the cluster and must not be harmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bystander {
    /// Time of the observation.
    pub at: Micros,
    /// The agent whose machine it runs on.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// Observed damage; empty while the process runs undisturbed.
    pub harm: String,
}
