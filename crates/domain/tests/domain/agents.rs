use meridian_domain::*;

use crate::world::*;

fn drain(name: &str) -> Command {
    Command::DrainAgent { agent: agent_name(name) }
}

fn undrain(name: &str) -> Command {
    Command::UndrainAgent { agent: agent_name(name) }
}

fn remove_agent(name: &str) -> Command {
    Command::RemoveAgent { agent: agent_name(name) }
}

/// Returns `contoso` with three agents and six units in its primary region.
fn three_agents_in_one_region() -> World {
    let mut world = World::contoso();
    world.apply(Command::RegisterAgent(agent("second", 8, "westeurope")));
    world.apply(Command::RegisterAgent(agent("third", 9, "westeurope")));
    world.edit([scale("westeurope", 6)]);
    world
}

#[test]
fn registering_again_is_idempotent_and_updates_addresses() {
    let mut world = World::contoso();
    let known = agent("eastus", 2, "eastus");
    assert_eq!(world.apply(Command::RegisterAgent(known.clone())), []);
    let moved = AgentDescription { gateway_host: "gw.example.net".to_owned(), ..known };
    assert_eq!(types(&world.apply(Command::RegisterAgent(moved))), ["AgentUpdated"]);
}

#[test]
fn gateways_behind_a_loopback_address_are_probed_at_the_host_of_the_peer_address() {
    let table = [
        ("gw.example.net", "10.0.0.1:7401", "gw.example.net"),
        ("127.0.1.1", "westeurope.meridian:7401", "westeurope.meridian"),
        ("[::1]", "[2001:db8::1]:7401", "[2001:db8::1]"),
        ("Localhost", "10.0.0.1:7401", "10.0.0.1"),
        ("127.0.1.1", "127.0.0.1:7401", "127.0.1.1"),
        ("10.0.0.1", "localhost:7401", "10.0.0.1"),
    ];
    for (gateway_host, peer_address, probed) in table {
        let described = AgentDescription {
            gateway_host: gateway_host.to_owned(),
            peer_address: Address::new(peer_address).expect("valid address"),
            ..agent("eastus", 2, "eastus")
        };
        assert_eq!(described.probed_host(), probed, "{gateway_host} {peer_address}");
    }
}

#[test]
fn a_conflicting_or_invalid_registration_is_rejected() {
    let world = World::contoso();
    let known = agent("eastus", 2, "eastus");
    let table = [
        (
            AgentDescription { node: NodeId(7), ..known.clone() },
            "agent name eastus belongs to node 0000000000000002; if that machine or its disk is \
             gone, remove the agent first",
        ),
        (
            AgentDescription { name: agent_name("other"), ..known.clone() },
            "node 0000000000000002 is already registered as agent eastus",
        ),
        (
            AgentDescription { region: region("japaneast"), ..known.clone() },
            "agent eastus: region is immutable; remove the agent and join it again",
        ),
        (
            AgentDescription { zone: Some(zone(1)), ..known.clone() },
            "agent eastus: zone is immutable; remove the agent and join it again",
        ),
        (
            AgentDescription { witness: true, ..known.clone() },
            "agent eastus: witness is immutable; remove the agent and join it again",
        ),
        (
            AgentDescription { gateway_host: "not a host".to_owned(), ..known.clone() },
            "agent eastus: \"not a host\" is not a valid host name or IP address",
        ),
        (
            AgentDescription { supports: DataVersion(0), ..known },
            "agent eastus supports data version 0, not 1; upgrade it first",
        ),
    ];
    for (description, message) in table {
        assert_eq!(world.rejections(Command::RegisterAgent(description)), [message]);
    }
    assert_eq!(
        world.rejections(Command::RegisterAgent(agent("new", 7, "eastuss"))),
        ["region eastuss not found; did you mean eastus, eastus2 or eastasia?"]
    );
}

#[test]
fn draining_moves_only_the_units_of_the_agent_and_undraining_moves_them_back() {
    let mut world = three_agents_in_one_region();
    let elsewhere = |world: &World| -> Vec<_> {
        world.placed("westeurope").into_iter().filter(|(_, agent)| agent != "second").collect()
    };
    let untouched = elsewhere(&world);
    let events = world.apply(drain("second"));
    assert_eq!(
        types(&events),
        ["AgentDrained", "UnitReleased", "UnitAssigned", "UnitReleased", "UnitAssigned"]
    );
    assert!(untouched.iter().all(|unit| world.placed("westeurope").contains(unit)));
    assert_eq!(world.apply(drain("second")), []);
    let events = world.apply(undrain("second"));
    assert_eq!(
        types(&events),
        ["AgentUndrained", "UnitReleased", "UnitAssigned", "UnitReleased", "UnitAssigned"]
    );
    assert_eq!(elsewhere(&world).len(), 4);
}

#[test]
fn the_units_of_a_removed_agent_are_reassigned_in_the_same_change_set() {
    let mut world = three_agents_in_one_region();
    let events = world.apply(remove_agent("second"));
    assert_eq!(types(&events), ["AgentRemoved", "UnitAssigned", "UnitAssigned"]);
    assert_eq!(world.placed("westeurope").len(), 6);
    assert_eq!(world.state.units_on(&agent_name("second")).count(), 0);
}

#[test]
fn draining_the_only_agent_of_a_region_leaves_its_units_unassigned() {
    let mut world = World::contoso();
    assert_eq!(types(&world.apply(drain("westeurope"))), ["AgentDrained", "UnitReleased"]);
    assert_eq!(world.placed("westeurope"), []);
    assert_eq!(types(&world.apply(undrain("westeurope"))), ["AgentUndrained", "UnitAssigned"]);
}

#[test]
fn an_agent_that_joins_or_is_undrained_runs_the_share_of_its_zone() {
    let mut world = World::bootstrapped();
    let in_zone = |name, node, number| AgentDescription {
        zone: Some(zone(number)),
        ..agent(name, node, "westeurope")
    };
    world.apply(create("contoso", Tier::Premium, "westeurope"));
    let zones = Some(zones(&[1, 2]));
    world.edit([Edit::Scale { region: region("westeurope"), units: Some(4), zones }]);
    world.apply(Command::RegisterAgent(in_zone("one", 1, 1)));
    assert_eq!(world.placed("westeurope").len(), 2);
    let command = Command::RegisterAgent(in_zone("two", 2, 2));
    for command in [command, drain("one"), undrain("one")] {
        world.apply(command);
    }
    let agents: Vec<String> = world.placed("westeurope").into_iter().map(|(_, on)| on).collect();
    assert_eq!(agents.iter().filter(|on| *on == "one").count(), 2);
    assert_eq!(agents.iter().filter(|on| *on == "two").count(), 2);
}

#[test]
fn the_last_voter_capable_agent_cannot_be_drained_or_removed() {
    let mut world = World::contoso();
    world.apply(drain("eastus"));
    world.apply(drain("southeastasia"));
    let message = "westeurope is the last voter-capable agent and cannot be drained or removed; \
                   join or undrain another agent first";
    assert_eq!(world.rejections(drain("westeurope")), [message]);
    assert_eq!(world.rejections(remove_agent("westeurope")), [message]);
    world.apply(remove_agent("eastus"));
}

#[test]
fn a_witness_is_assigned_no_units() {
    let mut world = World::bootstrapped();
    let witness = AgentDescription { witness: true, ..agent("witness", 1, "westeurope") };
    world.apply(Command::RegisterAgent(witness));
    world.apply(create("contoso", Tier::Premium, "westeurope"));
    assert_eq!(world.placed("westeurope"), []);
    world.apply(Command::RegisterAgent(agent("second", 2, "eastus")));
    world.apply(drain("witness"));
    assert_eq!(types(&world.apply(undrain("witness"))), ["AgentUndrained"]);
}

#[test]
fn an_unknown_agent_is_rejected_with_suggestions() {
    let world = World::contoso();
    for command in [drain("eastsu"), undrain("eastsu"), remove_agent("eastsu")] {
        assert_eq!(
            world.rejections(command),
            ["agent eastsu not found; did you mean eastus or southeastasia?"]
        );
    }
}
