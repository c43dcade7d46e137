//! Checks a [`history`](crate::history) against the invariants: safety properties that hold under
//! every fault, and liveness properties that hold soon after the last fault ends.
//!
//! | invariants | module | statement |
//! | --- | --- | --- |
//! | S1 | `requests` | acknowledged changes are in the log exactly once; logged changes were requested |
//! | S2, S3 | `logs` | all agents have the same immutable events, numbered without gaps |
//! | S4 | `states` | the same events produce the same state |
//! | S5 | `order`, `model` | the log order respects real time; every response matches the model |
//! | S6 | `reads` | no read is staler than its consistency level allows |
//! | S7 | `watches` | watches deliver events in order, without gaps or duplicates |
//! | S8, S9 | `units` | no unit runs twice; a partitioned region keeps its last unit |
//! | L1 to L4 | `convergence` | requests succeed, running units match the desired state, and the cluster becomes quiescent |
//! | L5 | `progress` | a responsive agent does not stay behind the others |
//! | L6 | `resources` | an agent at rest holds no more resources than before the load |
//! | L7 | `takeover` | another agent leads soon after the disk of the leader hangs |
//! | S10 | `storage` | an agent acknowledges no change after its storage failed |
//! | S11 | the simulation | a node whose disk hangs neither leads nor follows |
//! | S12 | `request_times` | request ids from the future are refused, and no other request expires |
//! | S13 | `reachability` | gateways are lost only while a fault keeps clients from them |
//! | S14 | the simulation | gateways that no other region can reach are lost soon |
//! | V1 | `run_quality` | changes were acknowledged at the minimum rate, and every fault had an effect |
//!
//! The revision of a change gives its position in the log, so no search for a linearization is
//! needed: checking a history of 200,000 operations takes seconds.

mod convergence;
mod facts;
mod impact;
mod logs;
mod model;
mod order;
mod progress;
mod reachability;
mod reads;
mod request_times;
mod requests;
mod resources;
mod run_quality;
mod states;
mod storage;
mod summary;
mod takeover;
#[cfg(test)]
mod tests;
mod units;
mod watches;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{Micros, Record};
use facts::Facts;
pub use impact::FaultImpact;
pub use summary::Summary;

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The invariant, such as `S1`.
    pub invariant: String,
    /// Time of the observation.
    pub at: Micros,
    /// Description of the observation.
    pub what: String,
}

impl Violation {
    fn new(invariant: &str, at: Micros, what: String) -> Self {
        Self { invariant: invariant.to_owned(), at, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, what } = self;
        write!(f, "{invariant} at {}.{:06} s: {what}", at / 1_000_000, at % 1_000_000)
    }
}

/// Result of checking a history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// The history in numbers.
    pub summary: Summary,
    /// Violations, sorted by invariant and time.
    pub violations: Vec<Violation>,
}

/// Checks a history against all invariants.
#[must_use]
pub fn check(history: &[Record]) -> Verdict {
    let facts = Facts::of(history);
    let checks = [
        requests::check,
        logs::check,
        states::check,
        order::check,
        model::check,
        reads::check,
        watches::check,
        units::check,
        convergence::check,
        progress::check,
        reachability::check,
        storage::check,
        resources::check,
        takeover::check,
        request_times::check,
        run_quality::check,
    ];
    let mut violations: Vec<_> = checks.iter().flat_map(|check| check(&facts)).collect();
    violations.sort_by(|a, b| (&a.invariant, a.at).cmp(&(&b.invariant, b.at)));
    Verdict { summary: Summary::of(&facts), violations }
}
