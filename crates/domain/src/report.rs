//! Reports of agents about their units.

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Incarnation, Revision, Sequence, Timestamp, UnitId};
use crate::name::AgentName;
use crate::unit::RefusedConfiguration;

/// Part of the unit table of an agent: all rows of the units with incarnations above `after`, up to
/// `observed`. The agent has no other units between them. A small table is one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Reporting agent.
    pub agent: AgentName,
    /// Generation of the agent.
    pub generation: Generation,
    /// Number of the report within the generation.
    pub sequence: Sequence,
    /// Incarnation after which the part begins; 0 in the first part.
    pub after: Incarnation,
    /// Revision at which the part ends: in the last part, the one that the agent had acted on when
    /// it built the table. Units assigned later are not in the part, because the agent does not know
    /// them yet or another part has them.
    pub observed: Revision,
    /// Units that the agent runs or tries to run, at most
    /// [`UNITS_PER_REPORT`](crate::limits::UNITS_PER_REPORT).
    pub units: Vec<ReportedUnit>,
}

/// Row of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedUnit {
    /// Id of the unit.
    pub unit: UnitId,
    /// Incarnation of the unit.
    pub incarnation: Incarnation,
    /// Status of the unit.
    pub status: UnitStatus,
    /// True if the process of the unit cannot stay as it is, and another one cannot run under the
    /// same incarnation: it drains although the log wants it, hangs and cannot be killed, or listens
    /// elsewhere than its agent is configured to. The slot is assigned again.
    pub replace: bool,
}

/// Status of a unit as observed by its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitStatus {
    /// Starting, or draining if it was released.
    Busy,
    /// Ready to serve requests.
    Ready {
        /// Process id, if the driver has one.
        pid: Option<u32>,
        /// Revision of the configuration that the unit serves.
        configuration: Revision,
        /// Newer configuration that the unit does not accept.
        refused: Option<RefusedConfiguration>,
    },
    /// Crashed or failed to start; the agent retries.
    Failed {
        /// Number of consecutive failed starts.
        restarts: u32,
        /// Time of the next attempt.
        next_try: Timestamp,
        /// Cause of the failure.
        cause: String,
    },
}
