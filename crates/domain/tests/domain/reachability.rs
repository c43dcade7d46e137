//! Losses of gateways.

use meridian_domain::reachability::*;
use meridian_domain::*;

use crate::world::*;

/// Returns a cluster with agents in `regions`, each named like its region.
fn agents_in(regions: &[&str]) -> World {
    let mut world = World::bootstrapped();
    for (node, place) in (1..).zip(regions) {
        world.apply(Command::RegisterAgent(agent(place, node, place)));
    }
    world
}

fn votes(agent: &str, from: &[&str]) -> LossVotes {
    LossVotes {
        agent: agent_name(agent),
        generation: Generation(1),
        gateways: Gateways::All,
        unreachable_from: from.iter().map(|name| ProberGroup::Region(region(name))).collect(),
        relapses: 0,
    }
}

fn groups(world: &World, probed: &str) -> Vec<String> {
    let probed = &world.state.agents[&agent_name(probed)];
    let groups = probers(&world.state, probed).into_iter();
    groups.map(|(group, probers)| format!("{group}:{}", probers.len())).collect()
}

#[test]
fn a_loss_needs_a_majority_of_all_other_regions_and_at_least_two() {
    for (regions, from, message) in [
        (&["a", "b"][..], &["b"][..], Some("1 of 1")),
        (&["a", "b", "c"], &["b"], Some("1 of 2")),
        (&["a", "b", "c"], &["b", "c"], None),
        (&["a", "b", "c", "d", "e"], &["b", "c"], Some("2 of 4")),
        (&["a", "b", "c", "d", "e"], &["b", "c", "d"], None),
        // The region of the agent itself does not vote, and an unknown one does not either.
        (&["a", "b", "c"], &["a", "b", "x"], Some("1 of 2")),
    ] {
        let regions: Vec<_> = regions.iter().map(|name| real(name)).collect();
        let from: Vec<_> = from.iter().map(|name| real(name)).collect();
        let mut world = agents_in(&regions);
        let command = Command::LoseGateways(votes(regions[0], &from));
        match message {
            None => assert_eq!(types(&world.apply(command)), ["GatewaysLost"]),
            Some(count) => {
                let expected = format!(
                    "{count} groups cannot reach the gateways of agent {}: no majority",
                    regions[0]
                );
                assert_eq!(world.rejections(command), [expected]);
            }
        }
    }
}

/// Returns a region of the catalog for a letter.
fn real(letter: &str) -> &'static str {
    match letter {
        "a" => "westeurope",
        "b" => "eastus",
        "c" => "southeastasia",
        "d" => "japaneast",
        "e" => "uksouth",
        _ => "westus",
    }
}

#[test]
fn agents_vote_by_region_then_by_zone_then_alone() {
    let mut world = agents_in(&["westeurope", "eastus", "southeastasia"]);
    for node in 7..10 {
        world.apply(Command::RegisterAgent(agent(&format!("eastus-{node}"), node, "eastus")));
    }
    assert_eq!(groups(&world, "westeurope"), ["eastus:2", "southeastasia:1"]);
    let mut world = World::bootstrapped();
    for node in 1..6 {
        let zone = (node < 5).then(|| zone(node as u8));
        let agent = AgentDescription { zone, ..agent(&format!("a{node}"), node, "eastus") };
        world.apply(Command::RegisterAgent(agent));
    }
    assert_eq!(groups(&world, "a1"), ["no zone:1", "zone 2:1", "zone 3:1", "zone 4:1"]);
    let mut world = World::bootstrapped();
    for node in 1..4 {
        world.apply(Command::RegisterAgent(agent(&format!("a{node}"), node, "eastus")));
    }
    assert_eq!(groups(&world, "a1"), ["a2:1", "a3:1"]);
}

#[test]
fn at_most_nine_groups_vote() {
    let regions: Vec<_> = catalog::regions().iter().take(12).map(|it| it.name.as_str()).collect();
    let world = agents_in(&regions);
    assert_eq!(groups(&world, regions[0]).len(), 9);
}

#[test]
fn votes_on_an_earlier_process_run_of_the_agent_do_not_count() {
    let mut world = agents_in(&["westeurope", "eastus", "southeastasia"]);
    let known = world.state.agents.get_mut(&agent_name("westeurope")).expect("is registered");
    known.last_report = (Generation(2), Sequence(1));
    let votes = votes("westeurope", &["eastus", "southeastasia"]);
    assert_eq!(
        world.rejections(Command::LoseGateways(votes.clone())),
        ["the votes on agent westeurope are stale: it has restarted since"]
    );
    let votes = LossVotes { generation: Generation(2), ..votes };
    assert_eq!(types(&world.apply(Command::LoseGateways(votes))), ["GatewaysLost"]);
}

#[test]
fn a_loss_happens_once_and_ends_once() {
    let mut world = agents_in(&["westeurope", "eastus", "southeastasia"]);
    let lose = || Command::LoseGateways(votes("westeurope", &["eastus", "southeastasia"]));
    let agent = agent_name("westeurope");
    let find = || Command::FindGateways { agent: agent.clone(), gateways: Gateways::All };
    assert_eq!(world.apply(find()), [], "nothing is lost");
    assert_eq!(types(&world.apply(lose())), ["GatewaysLost"]);
    assert_eq!(world.apply(lose()), []);
    let of_service = LossVotes {
        gateways: Gateways::Of(service("contoso")),
        ..votes("westeurope", &["eastus", "southeastasia"])
    };
    assert_eq!(world.apply(Command::LoseGateways(of_service)), [], "all are lost already");
    assert_eq!(types(&world.apply(find())), ["GatewaysFound"]);
    assert_eq!(world.apply(find()), []);
    assert_eq!(types(&world.apply(lose())), ["GatewaysLost"]);
}

#[test]
fn a_loss_of_a_service_is_about_the_units_of_that_time() {
    let mut world = World::contoso();
    world.report_all_ready("westeurope");
    let gateways = Gateways::Of(service("contoso"));
    let votes = LossVotes { gateways, ..votes("westeurope", &["eastus", "southeastasia"]) };
    world.apply(Command::LoseGateways(votes.clone()));
    let lost = |world: &World| -> Vec<bool> {
        let units = world.state.units.values().filter(|unit| unit.is_wanted());
        units.map(|unit| loss_of(&world.state, unit).is_some()).collect()
    };
    assert_eq!(lost(&world), [true]);
    world.edit([Edit::Port(9_000)]);
    assert_eq!(lost(&world), [true, false], "the unit on the new port is not lost");
    world.report_all_ready("westeurope");
    assert_eq!(lost(&world), [false]);
    assert_eq!(
        types(&world.apply(Command::LoseGateways(votes))),
        ["GatewaysLost"],
        "and may be lost"
    );
    assert_eq!(lost(&world), [true]);
}

#[test]
fn other_addresses_and_a_removal_end_a_loss() {
    let mut world = agents_in(&["westeurope", "eastus", "southeastasia"]);
    let lose = || Command::LoseGateways(votes("westeurope", &["eastus", "southeastasia"]));
    world.apply(lose());
    let known = agent("westeurope", 1, "westeurope");
    world.apply(Command::RegisterAgent(known.clone()));
    assert!(world.state.losses.contains_key(&known.name), "nothing has changed");
    let reached = Address::new("127.0.1.1:9999").expect("valid address");
    let readdressed = AgentDescription { peer_address: reached, ..known.clone() };
    world.apply(Command::RegisterAgent(readdressed));
    assert!(world.state.losses.contains_key(&known.name), "the gateways are where they were");
    let moved = AgentDescription { gateway_host: "127.0.2.1".to_owned(), ..known.clone() };
    world.apply(Command::RegisterAgent(moved));
    assert!(world.state.losses.is_empty());
    world.apply(lose());
    world.apply(Command::RemoveAgent { agent: known.name });
    assert!(world.state.losses.is_empty());
}

#[test]
fn the_deletion_of_a_service_ends_the_losses_of_its_gateways_alone() {
    let mut world = World::contoso();
    world.lose("eastus", Gateways::Of(service("contoso")));
    world.lose("westeurope", Gateways::Of(service("contoso")));
    world.lose("westeurope", Gateways::All);
    world.apply(Command::DeleteService { service: service("contoso"), expected: None });
    let left: Vec<_> = world.state.losses.iter().collect();
    let [(agent, losses)] = left.as_slice() else { panic!("one agent is left: {left:?}") };
    assert_eq!(**agent, agent_name("westeurope"));
    assert!(losses.keys().eq([&Gateways::All]));
}

#[test]
fn relapses_are_forgotten_after_an_hour() {
    let loss = |relapses, found| Loss {
        evidence: Evidence { unreachable_from: [].into(), groups: 2 },
        revision: Revision(1),
        since: Timestamp(0),
        found,
        relapses,
    };
    let found = Timestamp(10_000);
    assert_eq!(loss(0, Some(found)).next_relapses(Timestamp(20_000)), 1);
    assert_eq!(loss(4, Some(found)).next_relapses(Timestamp(3_609_999)), 5);
    assert_eq!(loss(4, Some(found)).next_relapses(Timestamp(3_610_000)), 0);
    assert_eq!(loss(255, None).next_relapses(Timestamp(0)), 255);
}
