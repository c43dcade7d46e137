//! Availability of a location for clients, as the log has it.

use crate::id::Timestamp;
use crate::name::RegionName;
use crate::reachability::loss_of;
use crate::service::{Location, Service};
use crate::state::State;

/// Availability of a location for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Its gateways serve.
    Serving {
        /// Units that are ready and not lost.
        ready_units: u32,
    },
    /// All ready units are on agents whose gateways are lost.
    Lost {
        /// Time of the last of these losses.
        since: Timestamp,
    },
    /// No unit is ready.
    NoReadyUnit,
    /// No agent in the region takes units, and none runs any.
    NoAgent,
    /// The gateway is disabled.
    Disabled,
}

impl Availability {
    /// Returns true if the gateways serve.
    #[must_use]
    pub fn serves(self) -> bool {
        match self {
            Self::Serving { .. } => true,
            Self::Lost { .. } | Self::NoReadyUnit | Self::NoAgent | Self::Disabled => false,
        }
    }

    /// Rank in the order of regions, the lowest first.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Serving { .. } => 0,
            Self::Lost { .. } | Self::NoReadyUnit | Self::NoAgent => 1,
            Self::Disabled => 2,
        }
    }
}

/// Returns the availability of one of the service's locations.
#[must_use]
pub fn of(
    state: &State,
    service: &Service,
    region: &RegionName,
    location: &Location,
) -> Availability {
    if !location.gateway_enabled {
        return Availability::Disabled;
    }
    let (mut ready_units, mut lost_since) = (0, None);
    for unit in state.units_of(&service.name, region).filter(|unit| unit.is_ready()) {
        match loss_of(state, unit) {
            None => ready_units += 1,
            Some(loss) => lost_since = lost_since.max(Some(loss.since)),
        }
    }
    match (ready_units, lost_since) {
        (1.., _) => Availability::Serving { ready_units },
        (0, Some(since)) => Availability::Lost { since },
        (0, None) if state.hosts_in(region).next().is_none() => Availability::NoAgent,
        (0, None) => Availability::NoReadyUnit,
    }
}
