use std::collections::BTreeMap;

use meridian_domain::reachability::votes::{Observations, Observed, Reach, VoteCount, count};
use meridian_domain::reachability::{Gateways, LossVotes};
use meridian_domain::*;

use crate::world::*;

/// Returns a cluster with these agents, each with its node number and region.
fn cluster_of(agents: &[(&str, u64, &str)]) -> World {
    let mut world = World::bootstrapped();
    for (name, node, place) in agents {
        world.apply(Command::RegisterAgent(agent(name, *node, place)));
    }
    world
}

/// Returns the observations of one prober of agent `a-1`.
fn seen(generation: u64, gateways: &[(&str, Reach)]) -> Observations {
    let gateways = gateways.iter().map(|(name, reach)| (gateways_of(name), *reach)).collect();
    let observed = Observed { generation: Generation(generation), gateways };
    Observations::from([(agent_name("a-1"), observed)])
}

fn gateways_of(name: &str) -> Gateways {
    if name == "all" { Gateways::All } else { Gateways::Of(service(name)) }
}

/// Returns the votes on gateways of `a-1`: groups that fail to reach them, groups that reach them,
/// and groups that can vote.
fn votes(world: &World, gateways: &str, seen: Vec<(u64, Observations)>) -> Option<VoteCount> {
    let seen: BTreeMap<_, _> = seen.into_iter().map(|(node, it)| (NodeId(node), it)).collect();
    let counts = count(&world.state, &seen);
    counts.into_iter().find(|count| count.gateways == gateways_of(gateways))
}

fn numbers(count: Option<VoteCount>) -> (usize, usize, usize) {
    let count = count.expect("the gateways are counted");
    (count.unreachable_from.len(), count.reached_from.len(), count.groups)
}

use Reach::{Reached, Unreachable};

#[test]
fn each_region_has_one_vote_and_a_silent_one_has_none() {
    let world = cluster_of(&[
        ("a-1", 1, "westeurope"),
        ("a-2", 2, "westeurope"),
        ("b-1", 3, "eastus"),
        ("b-2", 4, "eastus"),
        ("b-3", 5, "eastus"),
        ("c-1", 6, "southeastasia"),
    ]);
    let fails = || seen(0, &[("all", Unreachable)]);
    let quiet = Observations::new;
    let cases = [
        ("both probers of a region", vec![(3, fails()), (4, fails())], (1, 0, 2)),
        ("one of them, and the other is silent", vec![(3, fails())], (1, 0, 2)),
        (
            "one of them, and the other has no difficulty",
            vec![(3, fails()), (4, quiet())],
            (0, 0, 2),
        ),
        ("a third agent of a region", vec![(3, quiet()), (5, fails())], (0, 0, 2)),
        ("an agent of the same region", vec![(2, fails()), (3, fails())], (1, 0, 2)),
        ("all regions", vec![(3, fails()), (4, fails()), (6, fails())], (2, 0, 2)),
        (
            "one prober reaches them",
            vec![(3, fails()), (4, seen(0, &[("all", Reached)])), (6, fails())],
            (1, 1, 2),
        ),
    ];
    for (case, seen, expected) in cases {
        assert_eq!(numbers(votes(&world, "all", seen)), expected, "{case}");
    }
}

#[test]
fn votes_on_an_earlier_process_run_do_not_count() {
    let mut world = World::contoso();
    world.apply(Command::RegisterAgent(agent("a-1", 9, "westeurope")));
    let newer = |generation| seen(generation, &[("all", Unreachable)]);
    let known = world.state.agents.get_mut(&agent_name("a-1")).expect("is registered");
    known.last_report.0 = Generation(2);
    assert_eq!(numbers(votes(&world, "all", vec![(2, newer(2)), (3, newer(2))])), (2, 0, 2));
    assert_eq!(numbers(votes(&world, "all", vec![(2, newer(1)), (3, newer(2))])), (1, 0, 2));
}

#[test]
fn a_prober_that_reaches_no_gateway_of_an_agent_votes_on_each_of_its_services() {
    let world =
        cluster_of(&[("a-1", 1, "westeurope"), ("b-1", 2, "eastus"), ("c-1", 3, "southeastasia")]);
    let one = seen(0, &[("contoso", Unreachable)]);
    let all = seen(0, &[("all", Unreachable)]);
    let count = votes(&world, "contoso", vec![(2, one.clone()), (3, all.clone())]);
    assert_eq!(numbers(count), (2, 0, 2));
    assert_eq!(numbers(votes(&world, "all", vec![(2, one), (3, all)])), (1, 0, 2));
}

#[test]
fn a_loss_needs_two_regions_and_a_majority_of_all() {
    let all = ["westeurope", "eastus", "southeastasia", "northeurope", "westus", "japaneast"];
    for (regions, losing) in [(2, None), (3, Some(2)), (4, Some(2)), (5, Some(3)), (6, Some(3))] {
        let names: Vec<_> = (1..=regions).map(|number| format!("a-{number}")).collect();
        let agents = (1..).zip(&names).zip(all);
        let agents: Vec<_> = agents.map(|((node, name), place)| (&**name, node, place)).collect();
        let world = cluster_of(&agents);
        let fails =
            |count: u64| (2..2 + count).map(|node| (node, seen(0, &[("all", Unreachable)])));
        let is_loss = |votes_cast: &u64| {
            let count = votes(&world, "all", fails(*votes_cast).collect());
            count.is_some_and(|count| count.is_loss())
        };
        assert_eq!((0..regions as u64).find(is_loss), losing, "{regions} regions");
    }
}

#[test]
fn lost_gateways_are_reached_once_as_many_regions_reach_them_as_do_not() {
    let mut world =
        cluster_of(&[("a-1", 1, "westeurope"), ("b-1", 2, "eastus"), ("c-1", 3, "southeastasia")]);
    let failing =
        vec![(2, seen(0, &[("all", Unreachable)])), (3, seen(0, &[("all", Unreachable)]))];
    let count = votes(&world, "all", failing).expect("is counted");
    world.apply(Command::LoseGateways(LossVotes {
        agent: count.agent,
        generation: count.generation,
        gateways: count.gateways,
        unreachable_from: count.unreachable_from,
        relapses: 0,
    }));
    let reached = || seen(0, &[("all", Reached)]);
    let fails = || seen(0, &[("all", Unreachable)]);
    let cases = [
        (vec![], false),
        (vec![(2, Observations::new()), (3, Observations::new())], false),
        (vec![(2, fails()), (3, fails())], false),
        (vec![(2, reached())], true),
        (vec![(2, reached()), (3, fails())], true),
        (vec![(2, reached()), (3, reached())], true),
    ];
    for (seen, expected) in cases {
        let is_reached = votes(&world, "all", seen.clone()).expect("is counted").is_reached();
        assert_eq!(is_reached, expected, "{seen:?}");
    }
    for node in [2, 3] {
        let name = if node == 2 { "b-1" } else { "c-1" };
        world.apply(Command::RemoveAgent { agent: agent_name(name) });
    }
    let alone = votes(&world, "all", vec![]).expect("is counted");
    assert!(alone.is_reached(), "nobody is left to contradict");
}
