//! Gateways that clients cannot reach, as agreed by a majority.
//!
//! Agents probe the gateways of agents in other regions. Their votes are counted by group, so that a
//! region with many agents has one vote, and a region that is cut off cannot outvote the others:
//!
//! | cluster | groups |
//! | --- | --- |
//! | agents in several regions | regions |
//! | one region, agents in several zones | zones |
//! | one region, otherwise | agents |
//!
//! The group of the probed agent does not vote. Gateways are lost once a majority of all other groups,
//! silent ones included, and at least two, have not reached them throughout a window. A cluster with
//! fewer than two other groups therefore never agrees on a loss.

mod local_view;
pub mod votes;

use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::id::Zone;
use crate::limits;
use crate::name::{AgentName, RegionName};
use crate::state::State;
use crate::unit::Unit;

pub use local_view::local_view;

pub use crate::loss::{Evidence, Gateways, Loss, LossVotes, Losses, ProberGroup};

/// Returns the loss of a unit's gateway: that of all gateways of its agent, or of those of its
/// service. The latter is about the units of that time: one that was assigned since, on this or on
/// another port, is not lost.
#[must_use]
pub fn loss_of<'a>(state: &'a State, unit: &Unit) -> Option<&'a Loss> {
    let losses = state.losses.get(&unit.agent)?;
    let current = |gateways| losses.get(&gateways).filter(|loss: &&Loss| loss.is_current());
    let of_service = || {
        let loss = current(Gateways::Of(unit.id.service.clone()))?;
        (unit.incarnation.0 < loss.revision.0).then_some(loss)
    };
    current(Gateways::All).or_else(of_service)
}

/// The groups of all agents, each with its probers: the first two agents by name.
pub struct ProberGroups<'a> {
    grouping: Grouping,
    groups: BTreeMap<ProberGroup, Vec<&'a AgentName>>,
}

impl<'a> ProberGroups<'a> {
    /// Returns the groups of the agents in this state.
    #[must_use]
    pub fn of(state: &'a State) -> Self {
        let grouping = Grouping::of(state);
        let mut groups: BTreeMap<ProberGroup, Vec<&AgentName>> = BTreeMap::new();
        for (name, agent) in &state.agents {
            let probers = groups.entry(grouping.group(agent)).or_default();
            if probers.len() < limits::PROBERS_PER_GROUP {
                probers.push(name);
            }
        }
        Self { grouping, groups }
    }

    /// Returns the groups that vote on the gateways of an agent: all but its own, at most
    /// [`limits::PROBER_GROUPS`], the first by name.
    pub fn voting_on(
        &self,
        probed: &Agent,
    ) -> impl Iterator<Item = (&ProberGroup, &[&'a AgentName])> {
        let own = self.grouping.group(probed);
        let others = self.groups.iter().filter(move |(group, _)| **group != own);
        others.take(limits::PROBER_GROUPS).map(|(group, probers)| (group, probers.as_slice()))
    }
}

/// Returns the groups that vote on the gateways of an agent, as [`ProberGroups::voting_on`].
#[must_use]
pub fn probers<'a>(state: &'a State, probed: &Agent) -> BTreeMap<ProberGroup, Vec<&'a AgentName>> {
    let groups = ProberGroups::of(state);
    groups.voting_on(probed).map(|(group, probers)| (group.clone(), probers.to_vec())).collect()
}

/// Returns true if the votes suffice for a loss: a majority of all groups, and at least two.
#[must_use]
pub fn is_majority(votes: usize, groups: usize) -> bool {
    votes >= 2 && votes > groups / 2
}

/// Property by which the agents of a cluster are grouped.
enum Grouping {
    Region,
    Zone,
    Agent,
}

impl Grouping {
    fn of(state: &State) -> Self {
        let differs = |key: fn(&Agent) -> (&RegionName, Option<Zone>)| {
            let mut keys = state.agents.values().map(key);
            let first = keys.next();
            keys.any(|key| Some(key) != first)
        };
        if differs(|agent| (&agent.description.region, None)) {
            Self::Region
        } else if differs(|agent| (&agent.description.region, agent.description.zone)) {
            Self::Zone
        } else {
            Self::Agent
        }
    }

    fn group(&self, agent: &Agent) -> ProberGroup {
        match self {
            Self::Region => ProberGroup::Region(agent.description.region.clone()),
            Self::Zone => ProberGroup::Zone(agent.description.zone),
            Self::Agent => ProberGroup::Agent(agent.description.name.clone()),
        }
    }
}
