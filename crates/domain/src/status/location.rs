//! Status of a location.

mod blocked;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::agent::{Agent, AgentDescription};
use crate::id::{Revision, Timestamp};
use crate::name::{AgentName, RegionName};
use crate::reachability::{is_majority, loss_of, probers};
use crate::routing::{Availability, availability};
use crate::service::{Location, Service};
use crate::state::{State, newest_of_each_slot};
use crate::unit::{Unit, UnitPhase};

use super::observations::Observations;
use super::unit::{UnitCondition, unit as unit_condition};

pub use blocked::Blocked;

/// Status of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationStatus {
    /// The first condition that applies.
    pub condition: LocationCondition,
    /// Slots with a unit that is known to serve requests.
    pub ready_units: u32,
    /// Slots without one, whose unit is on an unreachable agent.
    pub unknown_units: u32,
    /// Oldest configuration that a current unit is known to serve; `None` if none is ready.
    pub configuration: Option<Revision>,
    /// True if enough units are ready, none is due to be replaced, and all serve the service's
    /// current configuration. Independent of whether the gateway is enabled.
    pub converged: bool,
    /// Obstacle that keeps the location from converging without an operator.
    pub blocked: Vec<Blocked>,
    /// Address of the gateway; `None` if no agent in the region takes units, and while the location is
    /// offline.
    pub gateway: Option<GatewayAddress>,
}

/// Condition of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocationCondition {
    /// The gateway is disabled, and units still serve by an earlier configuration until the clients have
    /// learned of it.
    DrainingClients,
    /// The gateway is disabled.
    Disabled,
    /// No agent in the region takes units.
    NoAgent,
    /// Clients can reach none of its ready units, as agreed by a majority.
    Offline {
        /// Time of the event that agreed on the last one.
        since: Timestamp,
    },
    /// No unit is known to serve, because the agents of the location are silent. Agents of other regions
    /// still reach its gateways, or they would be lost by now.
    Unmanaged,
    /// No unit is known to serve, because an agent with units of the location is unreachable, or, while
    /// the location has no units, every agent that could run them.
    AgentUnreachable,
    /// Some units serve, and others are on an unreachable agent, lost to clients or fail.
    Degraded,
    /// Fewer units are ready than declared.
    UnitsMissing,
    /// Enough units are ready, and some are being replaced or serve an older configuration.
    RollingOut,
    /// Converged.
    Ready,
}

impl LocationCondition {
    /// Returns the time since which no client can reach the location; `None` if some can.
    #[must_use]
    pub fn offline_since(self) -> Option<Timestamp> {
        if let Self::Offline { since } = self { Some(since) } else { None }
    }
}

/// Address at which clients reach the gateway of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAddress {
    /// Host of the agent.
    pub host: String,
    /// Port that the newest ready unit of the agent listens on; the port of the service if none is
    /// ready. They differ while the units move to another port.
    pub port: u16,
}

/// Returns the status of one of the service's locations.
#[must_use]
pub fn location(
    state: &State,
    observations: &Observations,
    service: &Service,
    region: &RegionName,
    location: &Location,
) -> LocationStatus {
    View::new(state, observations, service, region, location).status()
}

/// Returns the regions of units whose location was removed from the service: they drain.
#[must_use]
pub fn removed_regions<'a>(state: &'a State, service: &Service) -> BTreeSet<&'a RegionName> {
    let units = state.units.values().filter(|unit| unit.id.service == service.name);
    let regions = units.map(|unit| &unit.id.region);
    regions.filter(|region| !service.locations.contains_key(*region)).collect()
}

/// Units and agents of a location.
struct View<'a> {
    state: &'a State,
    observations: &'a Observations,
    service: &'a Service,
    region: &'a RegionName,
    location: &'a Location,
    /// Its units, without draining ones.
    units: Vec<&'a Unit>,
    /// The newest unit of each slot. Older ones serve until it is ready.
    current: Vec<&'a Unit>,
    /// Agents in the region that take units, by name.
    agents: Vec<&'a Agent>,
}

impl<'a> View<'a> {
    fn new(
        state: &'a State,
        observations: &'a Observations,
        service: &'a Service,
        region: &'a RegionName,
        location: &'a Location,
    ) -> Self {
        let units = state.units_of(&service.name, region).filter(|unit| unit.is_wanted());
        Self {
            state,
            observations,
            service,
            region,
            location,
            units: units.collect(),
            current: state.current_units(&service.name, region).collect(),
            agents: state.hosts_in(region).collect(),
        }
    }

    fn status(&self) -> LocationStatus {
        let ready_units = self.slots(|unit| self.is_ready(unit));
        let served = self.slots(|unit| self.is_ready(unit) || self.is_unknown(unit));
        let is_enough = ready_units >= u32::from(self.location.units);
        let converged = is_enough && self.current.iter().all(|unit| self.is_settled(unit));
        let ready = self.current.iter().filter(|unit| self.is_ready(unit));
        let condition = self.condition(ready_units, is_enough, converged);
        LocationStatus {
            condition,
            ready_units,
            unknown_units: served.saturating_sub(ready_units),
            configuration: ready.filter_map(|unit| unit.configuration()).min(),
            converged,
            blocked: self.blocked(),
            gateway: self.gateway().filter(|_| condition.offline_since().is_none()),
        }
    }

    fn condition(&self, ready_units: u32, is_enough: bool, converged: bool) -> LocationCondition {
        let Self { state, service, region, location, .. } = self;
        match availability(state, service, region, location) {
            Availability::Disabled if self.serves_earlier() => {
                return LocationCondition::DrainingClients;
            }
            Availability::Disabled => return LocationCondition::Disabled,
            Availability::Lost { since } => return LocationCondition::Offline { since },
            Availability::Serving { .. } | Availability::NoReadyUnit | Availability::NoAgent => {}
        }
        let is_impaired = self.is_agent_unreachable();
        if self.agents.is_empty() {
            LocationCondition::NoAgent
        } else if is_impaired && ready_units == 0 {
            if self.is_probed() {
                LocationCondition::Unmanaged
            } else {
                LocationCondition::AgentUnreachable
            }
        } else if converged {
            LocationCondition::Ready
        } else if is_enough {
            LocationCondition::RollingOut
        } else if ready_units > 0 && (is_impaired || self.is_failing()) {
            LocationCondition::Degraded
        } else {
            LocationCondition::UnitsMissing
        }
    }

    /// True if a unit that was last reported ready is on a silent agent whose gateways the others reach:
    /// enough of them probe it that a loss would have been agreed.
    fn is_probed(&self) -> bool {
        let serves = |unit: &&Unit| {
            let agent = self.state.agents.get(&unit.agent);
            unit.is_ready()
                && loss_of(self.state, unit).is_none()
                && agent.is_some_and(|agent| {
                    let silence = self.observations.silence(agent);
                    silence.is_some_and(|silence| self.observations.outlasts_probes(silence))
                        && self.can_be_lost(agent)
                })
        };
        self.units.iter().any(serves)
    }

    /// True if enough of the groups that vote on the gateways of the agent have a prober that is heard.
    fn can_be_lost(&self, agent: &Agent) -> bool {
        let groups = probers(self.state, agent);
        let is_heard = |prober: &AgentName| {
            let prober = self.state.agents.get(prober);
            prober.is_some_and(|prober| self.observations.silence(prober).is_none())
        };
        let heard = groups.values().filter(|group| group.iter().any(|prober| is_heard(prober)));
        is_majority(heard.count(), groups.len())
    }

    /// True if a ready unit serves an earlier configuration than the current one.
    fn serves_earlier(&self) -> bool {
        let mut ready = self.current.iter().filter(|unit| self.is_ready(unit));
        let current = Some(self.service.configuration);
        ready.any(|unit| unit.configuration() < current && self.refusal(unit).is_none())
    }

    /// True if a unit fails or is lost to clients.
    fn is_failing(&self) -> bool {
        let is_lost = |unit: &Unit| match unit_condition(self.state, self.observations, unit) {
            UnitCondition::Lost { .. } | UnitCondition::Reported(UnitPhase::Failed { .. }) => true,
            UnitCondition::Reported(_) | UnitCondition::Unknown { .. } => false,
        };
        self.units.iter().any(|unit| is_lost(unit))
    }

    /// Counts the slots of which one unit matches.
    fn slots(&self, matches: impl Fn(&Unit) -> bool) -> u32 {
        let units = self.units.iter().copied().filter(|unit| matches(unit));
        u32::try_from(newest_of_each_slot(units).count()).unwrap_or(u32::MAX)
    }

    fn is_ready(&self, unit: &Unit) -> bool {
        unit_condition(self.state, self.observations, unit).is_ready()
    }

    fn is_unknown(&self, unit: &Unit) -> bool {
        match unit_condition(self.state, self.observations, unit) {
            UnitCondition::Unknown { .. } => true,
            UnitCondition::Reported(_) | UnitCondition::Lost { .. } => false,
        }
    }

    /// True if the unit is known to serve the service's current configuration and is not due to be
    /// replaced.
    fn is_settled(&self, unit: &Unit) -> bool {
        let is_due = unit.incarnation.0 <= self.location.rolled.0;
        let is_current = unit.configuration() == Some(self.service.configuration);
        !is_due && is_current && self.is_ready(unit)
    }

    fn is_agent_unreachable(&self) -> bool {
        let is_unreachable = |agent: &&Agent| self.observations.silence(agent).is_some();
        let mut agents = self.agents.iter().copied();
        match self.units.is_empty() {
            true => agents.all(|agent| is_unreachable(&agent)),
            false => agents.filter(is_unreachable).any(|agent| self.units_on(agent) > 0),
        }
    }

    fn units_on(&self, agent: &Agent) -> usize {
        self.units.iter().filter(|unit| unit.agent == agent.description.name).count()
    }

    /// Address of the agent that serves best, the first by name among equals.
    fn gateway(&self) -> Option<GatewayAddress> {
        let serving = self.agents.iter().min_by_key(|agent| Reverse(self.rank(agent)))?;
        let AgentDescription { name, gateway_host, .. } = &serving.description;
        let ready = self.units.iter().filter(|unit| unit.agent == *name && unit.is_ready());
        let newest = ready.max_by_key(|unit| unit.incarnation);
        Some(GatewayAddress {
            host: gateway_host.clone(),
            port: newest.map_or(self.service.port, |unit| unit.port),
        })
    }

    /// Rank of an agent as the one that serves: reachable with a ready unit, with a unit that was
    /// last reported ready, with any unit, without one.
    fn rank(&self, agent: &Agent) -> u8 {
        let own = self.units.iter().filter(|unit| unit.agent == agent.description.name);
        let rank = |unit: &&Unit| match &unit.phase {
            UnitPhase::Ready { .. } if self.is_ready(unit) => 3,
            UnitPhase::Ready { .. } => 2,
            UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining => 1,
        };
        own.map(rank).max().unwrap_or_default()
    }
}
