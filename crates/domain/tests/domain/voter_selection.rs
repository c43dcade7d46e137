use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::voter_selection::voters;
use meridian_domain::*;
use proptest::prelude::*;

use crate::world::{World, agent, agent_name};

const REGIONS: [&str; 5] = ["westeurope", "eastus", "southeastasia", "japaneast", "uksouth"];

/// Returns a cluster with agents numbered from 1. Each is given by the index of its region and
/// whether it is drained.
fn cluster(agents: &[(usize, bool)]) -> State {
    let mut world = World::bootstrapped();
    for (node, (place, _)) in (1..).zip(agents) {
        let name = format!("a{node}");
        world.apply(Command::RegisterAgent(agent(&name, node, REGIONS[*place])));
    }
    for (node, (_, drained)) in (1..).zip(agents) {
        let known = world.state.agents.get_mut(&agent_name(&format!("a{node}")));
        known.expect("the agent is registered").drained = *drained;
    }
    world.state
}

fn nodes(numbers: &[u64]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

#[test]
fn the_number_of_voters_is_odd_and_bounded() {
    for (agents, count) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 5), (6, 5), (9, 5)] {
        let agents: Vec<(usize, bool)> = (0..agents).map(|number| (number % 5, false)).collect();
        assert_eq!(voters(&cluster(&agents), &nodes(&[])).len(), count, "{} agents", agents.len());
    }
}

#[test]
fn every_region_has_a_voter_before_one_has_a_second() {
    let state = cluster(&[(0, false), (0, false), (0, false), (1, false), (2, false)]);
    let limits = limits::Limits { voters: 3, ..limits::Limits::default() };
    let state = State { header: state::Header { limits, ..state.header.clone() }, ..state };
    assert_eq!(voters(&state, &nodes(&[1, 2, 3])), nodes(&[1, 4, 5]));
}

#[test]
fn a_drained_voter_is_replaced_and_does_not_become_a_voter_again_when_undrained() {
    let four = |drained| cluster(&[(0, drained), (0, false), (1, false), (2, false)]);
    assert_eq!(voters(&four(false), &nodes(&[1, 3, 4])), nodes(&[1, 3, 4]));
    assert_eq!(voters(&four(true), &nodes(&[1, 3, 4])), nodes(&[2, 3, 4]));
    assert_eq!(voters(&four(false), &nodes(&[2, 3, 4])), nodes(&[2, 3, 4]));
}

#[test]
fn a_witness_is_preferred_over_agents_that_do_not_vote_yet() {
    let mut state = cluster(&[(0, false), (0, false), (1, false), (2, false)]);
    let second = state.agents.get_mut(&agent_name("a2"));
    second.expect("the agent is registered").description.witness = true;
    assert_eq!(voters(&state, &nodes(&[])), nodes(&[2, 3, 4]));
    assert_eq!(voters(&state, &nodes(&[1])), nodes(&[1, 3, 4]));
}

#[test]
fn current_voters_stay_until_an_agent_is_registered() {
    assert_eq!(voters(&World::bootstrapped().state, &nodes(&[7, 8, 9])), nodes(&[7, 8, 9]));
}

/// Returns the number of voters of each region that has undrained agents.
fn by_region(state: &State, voters: &BTreeSet<NodeId>) -> BTreeMap<RegionName, usize> {
    let mut count = BTreeMap::new();
    for agent in state.agents.values().filter(|agent| !agent.drained) {
        let votes = usize::from(voters.contains(&agent.description.node));
        *count.entry(agent.description.region.clone()).or_default() += votes;
    }
    count
}

proptest! {
    #[test]
    fn voters_are_undrained_spread_and_stable(
        agents in prop::collection::vec((0..5_usize, prop::bool::weighted(0.2)), 1..9),
        current in prop::collection::btree_set(1..9_u64, 0..6),
    ) {
        let state = cluster(&agents);
        let current: BTreeSet<NodeId> = current.into_iter().map(NodeId).collect();
        let undrained: BTreeSet<NodeId> = state
            .agents
            .values()
            .filter(|agent| !agent.drained)
            .map(|agent| agent.description.node)
            .collect();
        prop_assume!(!undrained.is_empty());
        let selected = voters(&state, &current);
        prop_assert!(selected.is_subset(&undrained));
        prop_assert!(selected.len() % 2 == 1 || selected.len() == 2);
        prop_assert_eq!(&voters(&state, &selected), &selected, "the selection is stable");

        let count = by_region(&state, &selected);
        let regions = count.len();
        let with_voters = count.values().filter(|votes| **votes > 0).count();
        let expected = regions.min(selected.len());
        prop_assert_eq!(with_voters, expected, "as many regions as possible have a voter");

        for agent in state.agents.values().filter(|agent| !agent.drained) {
            let node = agent.description.node;
            let replaced = current.contains(&node) && !selected.contains(&node);
            let new_voter_in_region = state.agents.values().any(|other| {
                other.description.region == agent.description.region
                    && selected.contains(&other.description.node)
                    && !current.contains(&other.description.node)
            });
            prop_assert!(!(replaced && new_voter_in_region), "{} was replaced without need", node);
        }
    }
}
