//! Consequences of an accepted change that do not resolve on their own, or not immediately.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;
use crate::name::{AgentName, RegionName, ServiceName};
use crate::state::State;

use super::member::{Member, PendingMember, pending_member};

/// Consequence of an accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Impact {
    /// A membership change cannot proceed yet.
    MemberPending(PendingMember),
    /// No agent in the region takes units: they start once one does.
    UnitsWithoutAgent {
        /// The region.
        region: RegionName,
    },
    /// No agent in the region takes units anymore: the services lose their capacity there.
    CapacityLost {
        /// The region.
        region: RegionName,
        /// Services with a location there.
        services: Vec<ServiceName>,
    },
}

/// Agent that is about to be drained or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decommission {
    node: NodeId,
    region: RegionName,
}

impl Decommission {
    /// Looks up an agent before it is drained or removed; `None` if it is not registered.
    #[must_use]
    pub fn new(state: &State, agent: &AgentName) -> Option<Self> {
        let description = &state.agents.get(agent)?.description;
        Some(Self { node: description.node, region: description.region.clone() })
    }
}

/// Returns the impact of edits that declare units in `regions`.
#[must_use]
pub fn of_edits(state: &State, regions: &BTreeSet<RegionName>) -> Vec<Impact> {
    let without_agent = regions.iter().filter(|region| !takes_units(state, region));
    without_agent.map(|region| Impact::UnitsWithoutAgent { region: region.clone() }).collect()
}

/// Returns the impact of a drain or a removal, once `state` and `members` include it.
#[must_use]
pub fn of_decommission(
    state: &State,
    members: &BTreeMap<NodeId, Member>,
    decommission: &Decommission,
) -> Vec<Impact> {
    let pending = members.get(&decommission.node).and_then(pending_member);
    let pending = pending.map(Impact::MemberPending);
    pending.into_iter().chain(capacity_lost(state, &decommission.region)).collect()
}

fn capacity_lost(state: &State, region: &RegionName) -> Option<Impact> {
    if takes_units(state, region) {
        return None;
    }
    let services = state.services.values();
    let located = services.filter(|service| service.locations.contains_key(region));
    let services: Vec<_> = located.map(|service| service.name.clone()).collect();
    (!services.is_empty()).then(|| Impact::CapacityLost { region: region.clone(), services })
}

/// True if an agent in the region takes units.
fn takes_units(state: &State, region: &RegionName) -> bool {
    let mut agents = state.agents.values();
    agents.any(|agent| agent.description.region == *region && agent.takes_units())
}
