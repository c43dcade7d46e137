//! Selects the voters. The leader converges the Raft membership to the selection, one voter at a
//! time.
//!
//! Number: all undrained agents up to the limit (5 by default), rounded down to an odd number from
//! three up, because a fourth voter raises the quorum and survives no further loss. Two agents both
//! vote. That survives no loss either, but an acknowledged change is then on two disks instead of
//! one.
//!
//! Choice: every region gets one voter before any region gets a second one, so that losing a region
//! loses as few votes as possible. Among otherwise equal agents, current voters come first, because
//! every membership change is a risk; then witnesses, whose purpose is to vote; then the agents
//! that registered first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::agent::Agent;
use crate::id::NodeId;
use crate::name::RegionName;
use crate::state::State;

/// Returns the nodes that should vote, given the `current` voters.
///
/// Returns `current` while no agent is registered: the bootstrap nodes vote before they register.
#[must_use]
pub fn voters(state: &State, current: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let mut candidates: Vec<&Agent> =
        state.agents.values().filter(|agent| !agent.drained).collect();
    if candidates.is_empty() {
        return current.clone();
    }
    candidates.sort_by_key(|agent| {
        let stays = current.contains(&agent.description.node);
        (Reverse(stays), Reverse(agent.description.witness), agent.registered)
    });
    let count = voter_count(candidates.len(), state.header.limits.voters.into());
    let mut voters_of: BTreeMap<&RegionName, usize> = BTreeMap::new();
    let mut rounds: Vec<(usize, NodeId)> = Vec::new();
    for agent in candidates {
        let round = voters_of.entry(&agent.description.region).or_default();
        *round += 1;
        rounds.push((*round, agent.description.node));
    }
    // The sort is stable: it keeps the order of preference within a round.
    rounds.sort_by_key(|(round, _)| *round);
    rounds.into_iter().take(count).map(|(_, node)| node).collect()
}

fn voter_count(candidates: usize, limit: usize) -> usize {
    match candidates.min(limit) {
        few @ 0..=2 => few,
        odd if odd % 2 == 1 => odd,
        even => even - 1,
    }
}
