//! Obstacles that keep a location from converging.

use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::id::{UnitId, Zone};
use crate::limits;
use crate::loss::Evidence;
use crate::name::AgentName;
use crate::reachability::loss_of;
use crate::status::observations::Silence;
use crate::status::unit::{UnitCondition, unit as unit_condition};
use crate::unit::{RefusedConfiguration, Unit, UnitPhase};

use super::View;

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
    /// Clients cannot reach gateways of an agent, as agreed by a majority.
    GatewaysLost {
        /// The agent.
        agent: AgentName,
        /// Groups of agents that could not reach them.
        evidence: Evidence,
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

impl View<'_> {
    pub(super) fn blocked(&self) -> Vec<Blocked> {
        let zones = self.location.zones.iter().filter(|zone| !self.has_agent_in(**zone));
        let zones = zones.map(|zone| Blocked::ZoneWithoutAgent { zone: *zone });
        let unreachable = self.agents.iter().filter_map(|agent| {
            let silence = self.observations.silence(agent)?;
            let agent_name = agent.description.name.clone();
            let blocked = Blocked::AgentUnreachable { agent: agent_name, silence };
            (self.units.is_empty() || self.units_on(agent) > 0).then_some(blocked)
        });
        let lost = self.agents.iter().filter_map(|agent| self.lost_gateways(agent));
        let failure = self.units.iter().find_map(|unit| self.failure(unit));
        let refusal = self.units.iter().find_map(|unit| self.refusal(unit));
        let units = failure.into_iter().chain(refusal);
        zones.chain(unreachable).chain(lost).chain(self.full_agents()).chain(units).collect()
    }

    /// Returns the loss of the gateways of an agent that has ready units of the location.
    fn lost_gateways(&self, agent: &Agent) -> Option<Blocked> {
        let name = &agent.description.name;
        let units = self.units.iter().filter(|unit| unit.agent == *name && unit.is_ready());
        let loss = units.filter_map(|unit| loss_of(self.state, unit)).next()?;
        Some(Blocked::GatewaysLost { agent: name.clone(), evidence: loss.evidence.clone() })
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
            | UnitCondition::Unknown { .. }
            | UnitCondition::Lost { .. } => None,
        }
    }

    /// Returns the refusal of the current configuration. One of an older configuration is outdated.
    pub(super) fn refusal(&self, unit: &Unit) -> Option<Blocked> {
        let is_current =
            |refusal: &&RefusedConfiguration| refusal.configuration == self.service.configuration;
        let refusal = unit.refused().filter(is_current).filter(|_| self.is_ready(unit))?;
        let (unit, agent) = (unit.id.clone(), unit.agent.clone());
        Some(Blocked::ConfigurationRefused { unit, agent, refusal: refusal.clone() })
    }
}
