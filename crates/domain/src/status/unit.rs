//! Status of a unit.

use crate::id::Timestamp;
use crate::reachability::loss_of;
use crate::state::State;
use crate::unit::{Unit, UnitPhase};

use super::observations::{Observations, Silence};

/// Condition of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitCondition<'a> {
    /// As its agent reported last.
    Reported(&'a UnitPhase),
    /// Its agent is unreachable, so its last report may be outdated. Does not count as ready.
    Unknown {
        /// Time since its agent was last heard from.
        silence: Silence,
    },
    /// Reported as ready, and a majority agrees that clients cannot reach it.
    Lost {
        /// Time of that event.
        since: Timestamp,
    },
}

/// Returns the condition of a unit.
#[must_use]
pub fn unit<'a>(state: &State, observations: &Observations, unit: &'a Unit) -> UnitCondition<'a> {
    let agent = state.agents.get(&unit.agent);
    let silence = agent.and_then(|agent| observations.silence(agent));
    let loss = loss_of(state, unit).filter(|_| unit.is_ready());
    match (silence, loss) {
        (Some(silence), _) => UnitCondition::Unknown { silence },
        (None, Some(loss)) => UnitCondition::Lost { since: loss.since },
        (None, None) => UnitCondition::Reported(&unit.phase),
    }
}

impl UnitCondition<'_> {
    /// True if the unit is known to serve requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Reported(UnitPhase::Ready { .. }) => true,
            Self::Reported(
                UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining,
            )
            | Self::Unknown { .. }
            | Self::Lost { .. } => false,
        }
    }
}
