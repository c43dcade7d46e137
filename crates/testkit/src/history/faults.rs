//! What is recorded of faults.

use serde::{Deserialize, Serialize};

use super::Micros;

/// A step of a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at: Micros,
    /// Its number, unique in the history.
    pub fault: u64,
    /// Such as `partition`.
    pub kind: String,
    /// The agents that it meets.
    pub nodes: Vec<String>,
    /// How far it is.
    pub step: Step,
}

/// How far a fault is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum Step {
    /// It is about to be injected.
    Begun,
    /// It was seen to have an effect.
    Bit {
        /// What was seen.
        evidence: String,
    },
    /// It is over.
    Ended,
}

/// A step of a storage error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// When.
    pub at: Micros,
    /// The agent.
    pub node: String,
    /// Whether it is over, because the next life of the agent is about to begin.
    pub over: bool,
}

/// A process that the agents have nothing to do with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bystander {
    /// When it was looked at.
    pub at: Micros,
    /// The agent on whose machine it runs.
    pub node: String,
    /// Its process.
    pub pid: u32,
    /// What became of it; empty where it runs as ever.
    pub harm: String,
}
