//! Units: one gateway process worth of capacity each.

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, Revision, Timestamp, UnitId};
use crate::name::AgentName;

/// Assignment of a unit to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Slot that the unit fills.
    pub id: UnitId,
    /// Number of this assignment.
    pub incarnation: Incarnation,
    /// Agent that runs the unit.
    pub agent: AgentName,
    /// Port that the unit listens on: that of its service at the time of the assignment.
    pub port: u16,
    /// Phase as last reported by its agent.
    pub phase: UnitPhase,
}

/// Phase of a unit. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitPhase {
    /// Assigned, and not yet reported as ready.
    Starting,
    /// Ready to serve requests.
    Ready {
        /// Process id, if the driver has one. For display only: it does not identify the unit.
        pid: Option<u32>,
        /// Revision of the configuration that the unit serves.
        configuration: Revision,
        /// Newer configuration that the unit does not accept.
        refused: Option<RefusedConfiguration>,
    },
    /// Crashed or failed to start; its agent retries.
    Failed {
        /// Number of consecutive failed starts.
        restarts: u32,
        /// Time of the next attempt by the agent's clock.
        next_try: Timestamp,
        /// Cause of the failure.
        cause: String,
    },
    /// Released: the unit finishes the requests in flight and stops.
    Draining,
}

/// Configuration that a unit does not accept. It keeps the one that it serves, and its agent tries
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedConfiguration {
    /// Revision of the configuration.
    pub configuration: Revision,
    /// Cause of the refusal, at most [`CAUSE_CHARS`](crate::limits::CAUSE_CHARS) characters.
    pub cause: String,
}

impl Unit {
    /// Returns true unless the unit is draining.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        match self.phase {
            UnitPhase::Starting | UnitPhase::Ready { .. } | UnitPhase::Failed { .. } => true,
            UnitPhase::Draining => false,
        }
    }

    /// Returns true if the unit is ready to serve requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.phase {
            UnitPhase::Ready { .. } => true,
            UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining => false,
        }
    }

    /// Returns the configuration that the unit refuses, if it is ready and refuses one.
    #[must_use]
    pub fn refused(&self) -> Option<&RefusedConfiguration> {
        match &self.phase {
            UnitPhase::Ready { refused, .. } => refused.as_ref(),
            UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining => None,
        }
    }

    /// Returns the revision of the configuration that the unit serves, if it is ready.
    #[must_use]
    pub fn configuration(&self) -> Option<Revision> {
        match self.phase {
            UnitPhase::Ready { configuration, .. } => Some(configuration),
            UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining => None,
        }
    }
}
