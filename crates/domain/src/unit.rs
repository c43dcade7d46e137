//! One gateway process worth of capacity.

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, Revision, Timestamp, UnitId};
use crate::name::AgentName;

/// One assignment of a unit to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Which place in which location it fills.
    pub id: UnitId,
    /// This assignment of it.
    pub incarnation: Incarnation,
    /// The agent that runs it.
    pub agent: AgentName,
    /// The port that it listens on: its service's when it was assigned.
    pub port: u16,
    /// How far it is, as its agent last reported.
    pub phase: UnitPhase,
}

/// How far a unit is. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitPhase {
    /// Assigned; its agent has not said that it runs.
    Starting,
    /// It answers calls.
    Ready {
        /// Its process, where its driver has one. Informs people; it identifies nothing.
        pid: Option<u32>,
        /// The revision of the configuration that it serves.
        configuration: Revision,
    },
    /// It died or did not start; its agent tries again.
    Failed {
        /// Starts that failed in a row.
        restarts: u32,
        /// When its agent tries next, by that agent's clock.
        next_try: Timestamp,
        /// What its agent saw.
        cause: String,
    },
    /// Released: it finishes its calls, then stops.
    Draining,
}

impl Unit {
    /// Whether it counts as capacity of its location: all but those on their way out.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.phase != UnitPhase::Draining
    }

    /// Whether it answers calls as capacity of its location.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, UnitPhase::Ready { .. })
    }

    /// The revision of the configuration that it serves, while it is ready.
    #[must_use]
    pub fn configuration(&self) -> Option<Revision> {
        match self.phase {
            UnitPhase::Ready { configuration, .. } => Some(configuration),
            UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining => None,
        }
    }
}
