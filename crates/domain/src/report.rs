//! What an agent says of its units.

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Incarnation, Revision, Sequence, Timestamp, UnitId};
use crate::name::AgentName;

/// The whole unit table of one agent. What is not in it, the agent does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who reports.
    pub agent: AgentName,
    /// Which start of the agent it is from.
    pub generation: Generation,
    /// Its number within that generation.
    pub sequence: Sequence,
    /// The revision that the agent had acted on when it looked. Units assigned later are not
    /// missing from the table, they are unknown to it.
    pub observed: Revision,
    /// One row for each unit that the agent runs or tries to run.
    pub units: Vec<ReportedUnit>,
}

/// One row of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedUnit {
    /// The unit.
    pub unit: UnitId,
    /// Its assignment.
    pub incarnation: Incarnation,
    /// How it is.
    pub status: UnitStatus,
}

/// How a unit is, as its agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitStatus {
    /// On its way up, or, where it was released, on its way out.
    Busy,
    /// It answers calls.
    Ready {
        /// Its process, where its driver has one.
        pid: Option<u32>,
        /// The revision of the configuration that it serves.
        configuration: Revision,
    },
    /// It died or did not start; the agent tries again.
    Failed {
        /// Starts that failed in a row.
        restarts: u32,
        /// When the agent tries next.
        next_try: Timestamp,
        /// What the agent saw.
        cause: String,
    },
}
