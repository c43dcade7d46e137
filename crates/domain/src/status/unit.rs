//! Status of a unit.

use crate::id::Revision;
use crate::state::State;
use crate::unit::{Unit, UnitPhase};

use super::observations::{Observations, Silence};

/// Condition of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitCondition<'a> {
    /// Assigned; its agent has not reported that it runs.
    Starting,
    /// Serves requests.
    Ready {
        /// Its process, if its driver has one.
        pid: Option<u32>,
        /// Revision of the configuration that it serves.
        configuration: Revision,
    },
    /// Exited or did not start; its agent retries.
    Failed {
        /// Consecutive failed starts.
        restarts: u32,
        /// Cause reported by its agent.
        cause: &'a str,
    },
    /// Finishes its requests, then stops.
    Draining,
    /// Its agent is unreachable, so its last report may be outdated. Does not count as ready.
    Unknown {
        /// Time since its agent was last heard from.
        silence: Silence,
        /// The last report.
        reported: &'a UnitPhase,
    },
}

/// Returns the condition of a unit.
#[must_use]
pub fn unit<'a>(state: &State, observations: &Observations, unit: &'a Unit) -> UnitCondition<'a> {
    let agent = state.agents.get(&unit.agent);
    if let Some(silence) = agent.and_then(|agent| observations.silence(agent)) {
        return UnitCondition::Unknown { silence, reported: &unit.phase };
    }
    match &unit.phase {
        UnitPhase::Starting => UnitCondition::Starting,
        UnitPhase::Ready { pid, configuration } => {
            UnitCondition::Ready { pid: *pid, configuration: *configuration }
        }
        UnitPhase::Failed { restarts, next_try: _, cause } => {
            UnitCondition::Failed { restarts: *restarts, cause }
        }
        UnitPhase::Draining => UnitCondition::Draining,
    }
}

impl UnitCondition<'_> {
    /// True if the unit is known to serve requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Ready { .. } => true,
            Self::Starting | Self::Failed { .. } | Self::Draining | Self::Unknown { .. } => false,
        }
    }
}
