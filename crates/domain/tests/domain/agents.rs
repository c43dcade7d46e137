use meridian_domain::*;

use crate::world::*;

fn drain(name: &str) -> Command {
    Command::DrainAgent { agent: agent_name(name) }
}

fn undrain(name: &str) -> Command {
    Command::UndrainAgent { agent: agent_name(name) }
}

fn forget(name: &str) -> Command {
    Command::RemoveAgent { agent: agent_name(name) }
}

/// `contoso` with two more agents in its primary region and six units there.
fn three_agents_in_one_region() -> World {
    let mut world = World::contoso();
    world.does(Command::RegisterAgent(agent("second", 8, "westeurope")));
    world.does(Command::RegisterAgent(agent("third", 9, "westeurope")));
    world.saves([scale("westeurope", 6)]);
    world
}

#[test]
fn registering_again_changes_nothing_and_other_addresses_are_noted() {
    let mut world = World::contoso();
    let known = agent("eastus", 2, "eastus");
    assert_eq!(world.does(Command::RegisterAgent(known.clone())), []);
    let moved = AgentDescription { gateway_host: "gw.example.net".to_owned(), ..known };
    assert_eq!(types(&world.does(Command::RegisterAgent(moved))), ["AgentUpdated"]);
}

#[test]
fn an_agent_that_is_not_what_it_was_is_refused() {
    let world = World::contoso();
    let known = agent("eastus", 2, "eastus");
    let table = [
        (
            AgentDescription { node: NodeId(7), ..known.clone() },
            "the name eastus belongs to node 0000000000000002; if that machine or its disk is gone, \
             remove the agent first",
        ),
        (
            AgentDescription { name: agent_name("other"), ..known.clone() },
            "node 0000000000000002 is registered as agent eastus",
        ),
        (
            AgentDescription { region: region("japaneast"), ..known.clone() },
            "agent eastus cannot change its region: remove it and join it as a new agent",
        ),
        (
            AgentDescription { zone: Some(zone(1)), ..known.clone() },
            "agent eastus cannot change its zone: remove it and join it as a new agent",
        ),
        (
            AgentDescription { witness: true, ..known.clone() },
            "agent eastus cannot change its being a witness or not: remove it and join it as a new \
             agent",
        ),
        (
            AgentDescription { gateway_host: "not a host".to_owned(), ..known.clone() },
            "agent eastus: \"not a host\" is not a host name or an IP address",
        ),
        (
            AgentDescription { supports: DataVersion(0), ..known },
            "agent eastus supports data version 0, not 1",
        ),
    ];
    for (description, sentence) in table {
        assert_eq!(world.refuses(Command::RegisterAgent(description)), [sentence]);
    }
    assert_eq!(
        world.refuses(Command::RegisterAgent(agent("new", 7, "eastuss"))),
        ["there is no region eastuss; did you mean eastus, eastus2 or eastasia?"]
    );
}

#[test]
fn only_the_units_of_a_drained_agent_move_and_come_back_when_it_does() {
    let mut world = three_agents_in_one_region();
    let elsewhere = |world: &World| -> Vec<_> {
        world.placed("westeurope").into_iter().filter(|(_, agent)| agent != "second").collect()
    };
    let untouched = elsewhere(&world);
    let events = world.does(drain("second"));
    assert_eq!(
        types(&events),
        ["AgentDrained", "UnitReleased", "UnitAssigned", "UnitReleased", "UnitAssigned"]
    );
    assert!(untouched.iter().all(|unit| world.placed("westeurope").contains(unit)));
    assert_eq!(world.does(drain("second")), []);
    let events = world.does(undrain("second"));
    assert_eq!(
        types(&events),
        ["AgentUndrained", "UnitReleased", "UnitAssigned", "UnitReleased", "UnitAssigned"]
    );
    assert_eq!(elsewhere(&world).len(), 4);
}

#[test]
fn the_units_of_a_removed_agent_are_assigned_anew_in_the_same_change_set() {
    let mut world = three_agents_in_one_region();
    let events = world.does(forget("second"));
    assert_eq!(types(&events), ["AgentRemoved", "UnitAssigned", "UnitAssigned"]);
    assert_eq!(world.placed("westeurope").len(), 6);
    assert_eq!(world.state.units_on(&agent_name("second")).count(), 0);
}

#[test]
fn draining_the_only_agent_of_a_region_leaves_its_units_unassigned() {
    let mut world = World::contoso();
    assert_eq!(types(&world.does(drain("westeurope"))), ["AgentDrained", "UnitReleased"]);
    assert_eq!(world.placed("westeurope"), []);
    assert_eq!(types(&world.does(undrain("westeurope"))), ["AgentUndrained", "UnitAssigned"]);
}

#[test]
fn an_agent_that_comes_or_comes_back_runs_the_share_of_its_zone() {
    let mut world = World::founded();
    let in_zone = |name, node, number| AgentDescription {
        zone: Some(zone(number)),
        ..agent(name, node, "westeurope")
    };
    world.does(create("contoso", Tier::Premium, "westeurope"));
    let zones = Some(zones(&[1, 2]));
    world.saves([Edit::Scale { region: region("westeurope"), units: Some(4), zones }]);
    world.does(Command::RegisterAgent(in_zone("one", 1, 1)));
    assert_eq!(world.placed("westeurope").len(), 2);
    let command = Command::RegisterAgent(in_zone("two", 2, 2));
    for command in [command, drain("one"), undrain("one")] {
        world.does(command);
    }
    let agents: Vec<String> = world.placed("westeurope").into_iter().map(|(_, on)| on).collect();
    assert_eq!(agents.iter().filter(|on| *on == "one").count(), 2);
    assert_eq!(agents.iter().filter(|on| *on == "two").count(), 2);
}

#[test]
fn the_last_agent_that_can_hold_the_log_stays() {
    let mut world = World::contoso();
    world.does(drain("eastus"));
    world.does(drain("southeastasia"));
    let sentence =
        "westeurope is the last agent that can hold the log; it cannot be drained or removed";
    assert_eq!(world.refuses(drain("westeurope")), [sentence]);
    assert_eq!(world.refuses(forget("westeurope")), [sentence]);
    world.does(forget("eastus"));
}

#[test]
fn a_witness_gets_no_units() {
    let mut world = World::founded();
    let witness = AgentDescription { witness: true, ..agent("witness", 1, "westeurope") };
    world.does(Command::RegisterAgent(witness));
    world.does(create("contoso", Tier::Premium, "westeurope"));
    assert_eq!(world.placed("westeurope"), []);
    world.does(Command::RegisterAgent(agent("second", 2, "eastus")));
    world.does(drain("witness"));
    assert_eq!(types(&world.does(undrain("witness"))), ["AgentUndrained"]);
}

#[test]
fn an_unknown_agent_is_refused_with_the_nearest_names() {
    let world = World::contoso();
    for command in [drain("eastsu"), undrain("eastsu"), forget("eastsu")] {
        assert_eq!(
            world.refuses(command),
            ["there is no agent eastsu; did you mean eastus or southeastasia?"]
        );
    }
}
