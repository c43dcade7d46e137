//! What a history is about, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::survival::{self, Survival};
use crate::history::{Answer, mark};

/// A history in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What the schedule was generated from.
    pub seed: u64,
    /// Agents.
    pub agents: usize,
    /// How long changes were asked for, in seconds.
    pub load_seconds: u64,
    /// Calls of clients.
    pub calls: usize,
    /// Acknowledged changes.
    pub acknowledged: usize,
    /// The same in a second of load.
    pub acknowledged_per_second: f64,
    /// Refused changes.
    pub refused: usize,
    /// Calls whose outcome the client did not learn.
    pub unknown: usize,
    /// Answered reads.
    pub reads: usize,
    /// Events of the log.
    pub events: usize,
    /// How faults were survived, by kind.
    pub faults: BTreeMap<String, Survival>,
    /// How often another agent was seen to lead.
    pub leader_changes: usize,
    /// Snapshots that agents received.
    pub snapshots: usize,
}

impl Summary {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let count = |counted: fn(&Answer) -> bool| {
            facts.calls.iter().filter(|call| counted(&call.answer)).count()
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
            calls: facts.calls.len(),
            acknowledged: accepted.len(),
            acknowledged_per_second: per_second,
            refused: count(|answer| matches!(answer, Answer::Refused { .. })),
            unknown: count(|answer| matches!(answer, Answer::Unknown { .. })),
            reads: count(|answer| matches!(answer, Answer::Read { .. })),
            events: facts.log.len(),
            faults: survival::of(facts),
            leader_changes: leaders.filter(|pair| pair[0].node != pair[1].node).count(),
            snapshots: snapshots.len(),
        }
    }
}

impl Summary {
    /// Faults of all kinds.
    #[must_use]
    pub fn injected(&self) -> usize {
        self.faults.values().map(|survival| survival.injected).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<24}{value:>10}");
        row("seed", self.seed.to_string())?;
        row("calls", self.calls.to_string())?;
        row("changes acknowledged", self.acknowledged.to_string())?;
        row("  in a second of load", format!("{:.1}", self.acknowledged_per_second))?;
        row("changes refused", self.refused.to_string())?;
        row("outcomes unknown", self.unknown.to_string())?;
        row("reads answered", self.reads.to_string())?;
        row("events", self.events.to_string())?;
        row("faults injected", self.injected().to_string())?;
        for (kind, survival) in &self.faults {
            row(&format!("  {kind}"), survival.injected.to_string())?;
        }
        row("leader changes", self.leader_changes.to_string())?;
        row("snapshots received", self.snapshots.to_string())
    }
}
