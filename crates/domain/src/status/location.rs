//! Status of a location.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::agent::{Agent, AgentDescription};
use crate::id::{Revision, UnitId, Zone};
use crate::limits;
use crate::name::{AgentName, RegionName};
use crate::service::{Location, Service};
use crate::state::{State, newest_of_each_slot};
use crate::unit::{RefusedConfiguration, Unit, UnitPhase};

use super::observations::{Observations, Silence};
use super::unit::{UnitCondition, unit as unit_condition};

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
    /// Address of the gateway; `None` if no agent in the region takes units.
    pub gateway: Option<GatewayAddress>,
}

/// Condition of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocationCondition {
    /// The gateway is disabled.
    Disabled,
    /// No agent in the region takes units.
    NoAgent,
    /// An agent with units of the location is unreachable, or, while the location has no units,
    /// every agent that could run them.
    AgentUnreachable,
    /// Fewer units are ready than declared.
    UnitsMissing,
    /// Enough units are ready, and some are being replaced or serve an older configuration.
    RollingOut,
    /// Converged.
    Ready,
}

/// Obstacle that keeps a location from converging without an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// No agent in the zone takes units.
    ZoneWithoutAgent {
        /// The zone.
        zone: Zone,
    },
    /// An agent with units of the location is unreachable.
    AgentUnreachable {
        /// The agent.
        agent: AgentName,
        /// Time since it was last heard from.
        silence: Silence,
    },
    /// Units wait for an agent, and this one has the maximum number of units.
    AgentFull {
        /// The agent.
        agent: AgentName,
    },
    /// A unit fails.
    UnitFailed {
        /// The unit.
        unit: UnitId,
        /// Its agent.
        agent: AgentName,
        /// Cause reported by the agent.
        cause: String,
    },
    /// A ready unit does not accept the current configuration.
    ConfigurationRefused {
        /// The unit.
        unit: UnitId,
        /// Its agent.
        agent: AgentName,
        /// The configuration, and the cause of the refusal.
        refusal: RefusedConfiguration,
    },
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
        LocationStatus {
            condition: self.condition(is_enough, converged),
            ready_units,
            unknown_units: served.saturating_sub(ready_units),
            configuration: ready.filter_map(|unit| unit.configuration()).min(),
            converged,
            blocked: self.blocked(),
            gateway: self.gateway(),
        }
    }

    fn condition(&self, is_enough: bool, converged: bool) -> LocationCondition {
        if !self.location.gateway_enabled {
            LocationCondition::Disabled
        } else if self.agents.is_empty() {
            LocationCondition::NoAgent
        } else if self.is_agent_unreachable() {
            LocationCondition::AgentUnreachable
        } else if converged {
            LocationCondition::Ready
        } else if is_enough {
            LocationCondition::RollingOut
        } else {
            LocationCondition::UnitsMissing
        }
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
            UnitCondition::Reported(_) => false,
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

    fn blocked(&self) -> Vec<Blocked> {
        let zones = self.location.zones.iter().filter(|zone| !self.has_agent_in(**zone));
        let zones = zones.map(|zone| Blocked::ZoneWithoutAgent { zone: *zone });
        let unreachable = self.agents.iter().filter_map(|agent| {
            let silence = self.observations.silence(agent)?;
            let agent_name = agent.description.name.clone();
            let blocked = Blocked::AgentUnreachable { agent: agent_name, silence };
            (self.units.is_empty() || self.units_on(agent) > 0).then_some(blocked)
        });
        let failure = self.units.iter().find_map(|unit| self.failure(unit));
        let refusal = self.units.iter().find_map(|unit| self.refusal(unit));
        let units = failure.into_iter().chain(refusal);
        zones.chain(unreachable).chain(self.full_agents()).chain(units).collect()
    }

    /// Returns the agents without capacity, if units wait for an agent.
    fn full_agents(&self) -> Vec<Blocked> {
        if self.current.len() >= usize::from(self.location.units) {
            return Vec::new();
        }
        let mut loads: BTreeMap<&AgentName, usize> =
            self.agents.iter().map(|agent| (&agent.description.name, 0)).collect();
        for unit in self.state.units.values().filter(|unit| unit.is_wanted()) {
            if let Some(load) = loads.get_mut(&unit.agent) {
                *load += 1;
            }
        }
        let full = loads.into_iter().filter(|(_, load)| *load >= limits::UNITS_PER_AGENT);
        full.map(|(agent, _)| Blocked::AgentFull { agent: agent.clone() }).collect()
    }

    /// True if the zone has an agent that takes units. A region without any agent is a condition of
    /// its own.
    fn has_agent_in(&self, zone: Zone) -> bool {
        let mut zones = self.agents.iter().filter_map(|agent| agent.description.zone);
        self.agents.is_empty() || zones.any(|other| other == zone)
    }

    fn failure(&self, unit: &Unit) -> Option<Blocked> {
        match unit_condition(self.state, self.observations, unit) {
            UnitCondition::Reported(UnitPhase::Failed { restarts: _, next_try: _, cause }) => {
                Some(Blocked::UnitFailed {
                    unit: unit.id.clone(),
                    agent: unit.agent.clone(),
                    cause: cause.clone(),
                })
            }
            UnitCondition::Reported(
                UnitPhase::Starting | UnitPhase::Ready { .. } | UnitPhase::Draining,
            )
            | UnitCondition::Unknown { .. } => None,
        }
    }

    /// Returns the refusal of the current configuration. One of an older configuration is outdated.
    fn refusal(&self, unit: &Unit) -> Option<Blocked> {
        let is_current =
            |refusal: &&RefusedConfiguration| refusal.configuration == self.service.configuration;
        let refusal = unit.refused().filter(is_current).filter(|_| self.is_ready(unit))?;
        let (unit, agent) = (unit.id.clone(), unit.agent.clone());
        Some(Blocked::ConfigurationRefused { unit, agent, refusal: refusal.clone() })
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
