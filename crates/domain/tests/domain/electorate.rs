use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::electorate::voters;
use meridian_domain::*;
use proptest::prelude::*;

use crate::world::{World, agent, agent_name};

const REGIONS: [&str; 5] = ["westeurope", "eastus", "southeastasia", "japaneast", "uksouth"];

/// Agents numbered from 1, each given as the number of its region and whether it is drained.
fn cluster(agents: &[(usize, bool)]) -> State {
    let mut world = World::founded();
    for (node, (place, _)) in (1..).zip(agents) {
        let name = format!("a{node}");
        world.does(Command::RegisterAgent(agent(&name, node, REGIONS[*place])));
    }
    for (node, (_, drained)) in (1..).zip(agents) {
        let known = world.state.agents.get_mut(&agent_name(&format!("a{node}")));
        known.expect("was registered").drained = *drained;
    }
    world.state
}

fn nodes(numbers: &[u64]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

#[test]
fn as_many_vote_as_survive_the_most_losses() {
    for (agents, seats) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 5), (6, 5), (9, 5)] {
        let agents: Vec<(usize, bool)> = (0..agents).map(|number| (number % 5, false)).collect();
        assert_eq!(voters(&cluster(&agents), &nodes(&[])).len(), seats, "{} agents", agents.len());
    }
}

#[test]
fn a_region_without_a_voter_comes_before_a_second_voter_of_a_region() {
    let state = cluster(&[(0, false), (0, false), (0, false), (1, false), (2, false)]);
    let limits = limits::Limits { voters: 3, ..limits::Limits::default() };
    let state = State { header: state::Header { limits, ..state.header.clone() }, ..state };
    assert_eq!(voters(&state, &nodes(&[1, 2, 3])), nodes(&[1, 4, 5]));
}

#[test]
fn a_drained_voter_is_replaced_and_does_not_take_its_seat_back() {
    let four = |drained| cluster(&[(0, drained), (0, false), (1, false), (2, false)]);
    assert_eq!(voters(&four(false), &nodes(&[1, 3, 4])), nodes(&[1, 3, 4]));
    assert_eq!(voters(&four(true), &nodes(&[1, 3, 4])), nodes(&[2, 3, 4]));
    assert_eq!(voters(&four(false), &nodes(&[2, 3, 4])), nodes(&[2, 3, 4]));
}

#[test]
fn a_witness_comes_before_other_agents_that_do_not_vote_yet() {
    let mut state = cluster(&[(0, false), (0, false), (1, false), (2, false)]);
    let second = state.agents.get_mut(&agent_name("a2"));
    second.expect("was registered").description.witness = true;
    assert_eq!(voters(&state, &nodes(&[])), nodes(&[2, 3, 4]));
    assert_eq!(voters(&state, &nodes(&[1])), nodes(&[1, 3, 4]));
}

#[test]
fn the_founders_vote_until_an_agent_is_registered() {
    assert_eq!(voters(&World::founded().state, &nodes(&[7, 8, 9])), nodes(&[7, 8, 9]));
}

/// How many voters each region has, of those that have candidates.
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
        let elected = voters(&state, &current);
        prop_assert!(elected.is_subset(&undrained));
        prop_assert!(elected.len() % 2 == 1 || elected.len() == 2);
        prop_assert_eq!(&voters(&state, &elected), &elected, "an electorate is its own successor");

        let count = by_region(&state, &elected);
        let regions = count.len();
        let with_voters = count.values().filter(|votes| **votes > 0).count();
        prop_assert_eq!(with_voters, regions.min(elected.len()), "as many regions as possible vote");

        for agent in state.agents.values().filter(|agent| undrained.contains(&agent.description.node)) {
            let node = agent.description.node;
            let unseated = current.contains(&node) && !elected.contains(&node);
            let newcomer_of_its_region = state.agents.values().any(|other| {
                other.description.region == agent.description.region
                    && elected.contains(&other.description.node)
                    && !current.contains(&other.description.node)
            });
            prop_assert!(!(unseated && newcomer_of_its_region), "{} lost its seat in vain", node);
        }
    }
}
