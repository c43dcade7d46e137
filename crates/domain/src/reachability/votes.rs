//! Counting the votes of the probers.
//!
//! A prober states only what differs from the normal case: gateways that it fails to reach, and lost
//! ones that it reaches again. It thereby reaches all gateways that it does not mention, as far as a
//! loss is concerned, and nothing is sent while all gateways are reachable.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gateways, Loss, ProberGroup, ProberGroups, is_majority};
use crate::agent::Agent;
use crate::id::{Generation, NodeId};
use crate::name::AgentName;
use crate::state::State;

/// Results of a prober for the gateways of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Generation of the agent while they were probed.
    pub generation: Generation,
    /// The gateways. Those of single services only if others of the agent are reached.
    pub gateways: BTreeMap<Gateways, Reach>,
}

/// Result of the probes of gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No probe succeeded throughout the last window.
    Unreachable,
    /// A probe succeeded within the last window.
    Reached,
}

/// Results of a prober, by agent.
pub type Observations = BTreeMap<AgentName, Observed>;

/// Votes on gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteCount {
    /// Agent of the gateways.
    pub agent: AgentName,
    /// Its generation.
    pub generation: Generation,
    /// The gateways.
    pub gateways: Gateways,
    /// Groups with a prober that fails to reach them, and none that reaches them.
    pub unreachable_from: BTreeSet<ProberGroup>,
    /// Groups with a prober that states that it reaches them.
    pub reached_from: BTreeSet<ProberGroup>,
    /// Number of groups that can vote.
    pub groups: usize,
}

impl VoteCount {
    /// Returns true if a majority fails to reach the gateways.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        is_majority(self.unreachable_from.len(), self.groups)
    }

    /// Returns true if lost gateways count as reached: from at least as many groups as fail to reach
    /// them. Silent groups are no reason for a loss to last, because they may be lost themselves. If
    /// no other group is left, nothing can be said about the gateways, and they count as reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        let reached = self.reached_from.len();
        self.groups == 0 || reached > 0 && reached >= self.unreachable_from.len()
    }
}

/// Counts the votes on all gateways that a prober states something about, and on all lost ones. The
/// observations are those of the probers that have a vote now, by their node.
#[must_use]
pub fn count(state: &State, observations: &BTreeMap<NodeId, Observations>) -> Vec<VoteCount> {
    let subjects = subjects(state, observations);
    if subjects.is_empty() {
        return Vec::new();
    }
    let groups = ProberGroups::of(state);
    let count = |(agent, gateways)| count_of(state, &groups, observations, agent, gateways);
    subjects.into_iter().filter_map(count).collect()
}

/// Returns the gateways whose votes are counted.
fn subjects<'a>(
    state: &'a State,
    observations: &'a BTreeMap<NodeId, Observations>,
) -> BTreeSet<(&'a AgentName, &'a Gateways)> {
    let lost = state.losses.iter().flat_map(|(agent, losses)| {
        let current = losses.iter().filter(|(_, loss)| Loss::is_current(loss));
        current.map(move |(gateways, _)| (agent, gateways))
    });
    let observed = observations.values().flatten().flat_map(|(agent, observed)| {
        observed.gateways.keys().map(move |gateways| (agent, gateways))
    });
    lost.chain(observed).collect()
}

fn count_of(
    state: &State,
    groups: &ProberGroups<'_>,
    observations: &BTreeMap<NodeId, Observations>,
    name: &AgentName,
    gateways: &Gateways,
) -> Option<VoteCount> {
    let agent = state.agents.get(name)?;
    let mut count = VoteCount {
        agent: name.clone(),
        generation: agent.last_report.0,
        gateways: gateways.clone(),
        unreachable_from: BTreeSet::new(),
        reached_from: BTreeSet::new(),
        groups: 0,
    };
    for (group, probers) in groups.voting_on(agent) {
        count.groups += 1;
        let node = |prober: &&AgentName| Some(state.agents.get(*prober)?.description.node);
        let responding = probers.iter().filter_map(|prober| observations.get(&node(prober)?));
        let votes: Vec<_> = responding.map(|seen| vote(seen, name, agent, gateways)).collect();
        if votes.contains(&Some(Reach::Reached)) {
            count.reached_from.insert(group.clone());
        } else if !votes.is_empty() && votes.iter().all(|vote| *vote == Some(Reach::Unreachable)) {
            count.unreachable_from.insert(group.clone());
        }
    }
    Some(count)
}

/// Returns what a prober states about the gateways. Those of an earlier process run of the agent do
/// not count.
fn vote(
    observations: &Observations,
    name: &AgentName,
    agent: &Agent,
    gateways: &Gateways,
) -> Option<Reach> {
    let observed = observations.get(name)?;
    if observed.generation != agent.last_report.0 {
        return None;
    }
    let of = |gateways| observed.gateways.get(gateways).copied();
    of(gateways).or_else(|| of(&Gateways::All).filter(|all| *all == Reach::Unreachable))
}
