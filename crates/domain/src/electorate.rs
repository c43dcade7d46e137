//! Which agents vote. The leader converges the Raft membership to this, one voter at a time.
//!
//! How many: as many as there are undrained agents, at most the limit (5 by default), and an odd
//! number from three up: a fourth voter makes majorities larger and survives no further loss. Two
//! vote where there are two. That survives no loss either, but an acknowledged change is then on two
//! disks instead of one.
//!
//! Which: a region without a voter comes before a second voter for any region, so that losing a region
//! loses as few votes as possible. Where that leaves a choice, agents that vote already stay, because
//! every change of voters is a risk; then witnesses come first, who are there to vote; then those that
//! registered first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::agent::Agent;
use crate::id::NodeId;
use crate::name::RegionName;
use crate::state::State;

/// The nodes that should vote, given those that vote now.
///
/// While no agent is registered this is `current`: the founders vote before they can register.
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
    let seats = seats(candidates.len(), state.header.limits.voters.into());
    let mut voters_of: BTreeMap<&RegionName, usize> = BTreeMap::new();
    let mut rounds: Vec<(usize, NodeId)> = Vec::new();
    for agent in candidates {
        let round = voters_of.entry(&agent.description.region).or_default();
        *round += 1;
        rounds.push((*round, agent.description.node));
    }
    // A stable sort: within a round the order of preference stays.
    rounds.sort_by_key(|(round, _)| *round);
    rounds.into_iter().take(seats).map(|(_, node)| node).collect()
}

fn seats(candidates: usize, limit: usize) -> usize {
    match candidates.min(limit) {
        few @ 0..=2 => few,
        odd if odd % 2 == 1 => odd,
        even => even - 1,
    }
}
