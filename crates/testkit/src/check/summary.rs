//! Summary of a history in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::impact::{self, FaultImpact};
use crate::history::{Outcome, mark};

/// A history in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Seed of the fault schedule.
    pub seed: u64,
    /// Number of agents.
    pub agents: usize,
    /// Duration of the load phase in seconds.
    pub load_seconds: u64,
    /// Number of client operations.
    pub operations: usize,
    /// Number of acknowledged changes.
    pub acknowledged: usize,
    /// Acknowledged changes per second of load.
    pub acknowledged_per_second: f64,
    /// Number of rejected changes.
    pub rejected: usize,
    /// Number of changes with an unknown outcome.
    pub unknown: usize,
    /// Number of successful reads.
    pub reads: usize,
    /// Number of events in the log.
    pub events: usize,
    /// Impact of the faults, by kind.
    pub faults: BTreeMap<String, FaultImpact>,
    /// Number of observed leader changes.
    pub leader_changes: usize,
    /// Number of snapshots received by agents.
    pub snapshots: usize,
}

impl Summary {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let count = |counted: fn(&Outcome) -> bool| {
            facts.operations.iter().filter(|operation| counted(&operation.outcome)).count()
        };
        let accepted = facts.accepted();
        let load = facts.mark(mark::LOAD).zip(facts.mark(mark::LOAD_ENDED));
        let per_second = load.map_or(0.0, |(from, to)| {
            let within = accepted.iter().filter(|it| (from..=to).contains(&it.returned)).count();
            within as f64 * 1e6 / (to.saturating_sub(from).max(1)) as f64
        });
        let leaders = facts.leaders.windows(2);
        let snapshots: BTreeSet<_> = facts.snapshots.iter().map(|it| (it.at, &it.node)).collect();
        Self {
            seed: facts.header.seed,
            agents: facts.header.nodes.len(),
            load_seconds: load.map_or(0, |(from, to)| to.saturating_sub(from) / 1_000_000),
            operations: facts.operations.len(),
            acknowledged: accepted.len(),
            acknowledged_per_second: per_second,
            rejected: count(|outcome| matches!(outcome, Outcome::Rejected { .. })),
            unknown: count(|outcome| matches!(outcome, Outcome::Unknown { .. })),
            reads: count(|outcome| matches!(outcome, Outcome::Read { .. })),
            events: facts.log.len(),
            faults: impact::of(facts),
            leader_changes: leaders.filter(|pair| pair[0].node != pair[1].node).count(),
            snapshots: snapshots.len(),
        }
    }
}

impl Summary {
    /// Returns the number of injected faults of all kinds.
    #[must_use]
    pub fn injected(&self) -> usize {
        self.faults.values().map(|impact| impact.injected).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<24}{value:>10}");
        row("seed", self.seed.to_string())?;
        row("operations", self.operations.to_string())?;
        row("changes acknowledged", self.acknowledged.to_string())?;
        row("  per second of load", format!("{:.1}", self.acknowledged_per_second))?;
        row("changes rejected", self.rejected.to_string())?;
        row("unknown outcomes", self.unknown.to_string())?;
        row("successful reads", self.reads.to_string())?;
        row("events", self.events.to_string())?;
        row("faults injected", self.injected().to_string())?;
        for (kind, impact) in &self.faults {
            row(&format!("  {kind}"), impact.injected.to_string())?;
        }
        row("leader changes", self.leader_changes.to_string())?;
        row("snapshots received", self.snapshots.to_string())
    }
}
