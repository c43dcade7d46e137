//! Status of locations that clients cannot reach, and of those whose agents are silent.

use std::time::Duration;

use meridian_domain::reachability::Gateways;
use meridian_domain::status::{Blocked, Condition, Health, LastContact, LocationCondition};
use meridian_domain::{Command, Edit, status};

use super::{MINUTE, NOW, healthy, led, location, settled};
use crate::world::{World, agent, agent_name, region};

#[test]
fn a_location_that_clients_cannot_reach_is_offline_and_none_of_its_units_is_ready() {
    let mut world = settled();
    world.lose("eastus", Gateways::All);
    let silent = led(&world, &[(1, NOW), (2, LastContact::Ago(MINUTE)), (3, NOW)]);
    for observations in [healthy(&world), silent] {
        let status = location(&world, &observations, "eastus");
        assert!(matches!(status.condition, LocationCondition::Offline { .. }), "{status:?}");
        assert_eq!((status.ready_units, status.gateway, status.converged), (0, None, false));
        let mut units = world.state.units.values();
        let unit = units.find(|unit| unit.agent == agent_name("eastus")).expect("it has units");
        assert!(!status::unit(&world.state, &observations, unit).is_ready());
    }
    let blocked = location(&world, &healthy(&world), "eastus").blocked;
    let [Blocked::GatewaysLost { evidence, .. }] = blocked.as_slice() else {
        panic!("the obstacle is the loss: {blocked:?}");
    };
    assert_eq!((evidence.unreachable_from.len(), evidence.groups), (2, 2));
    assert_eq!(
        location(&world, &healthy(&world), "westeurope").condition,
        LocationCondition::Ready
    );
}

#[test]
fn a_silent_agent_whose_gateways_are_probed_and_not_lost_is_unmanaged() {
    let world = settled();
    let condition = |silence| {
        let contacts = [(1, NOW), (2, LastContact::Ago(silence)), (3, NOW)];
        location(&world, &led(&world, &contacts), "eastus").condition
    };
    let enough = led(&world, &[]).unreachable_after * 4;
    assert_eq!(condition(enough), LocationCondition::Unmanaged);
    // A loss may not be agreed yet.
    assert_eq!(condition(enough - Duration::from_millis(1)), LocationCondition::AgentUnreachable);
    // Without a quorum, no loss is agreed.
    let contacts = [(1, NOW), (2, LastContact::Ago(MINUTE)), (3, LastContact::Ago(MINUTE))];
    let status = location(&world, &led(&world, &contacts), "eastus");
    assert_eq!(status.condition, LocationCondition::AgentUnreachable);
    // Of two other regions, one is silent as well: too few votes are left, although there is a quorum.
    let mut five = settled();
    for node in [4, 5] {
        five.apply(Command::RegisterAgent(agent(
            &format!("westeurope-{node}"),
            node,
            "westeurope",
        )));
    }
    let silent = LastContact::Ago(MINUTE);
    let contacts = [(1, NOW), (2, silent), (3, silent), (4, NOW), (5, NOW)];
    let status = location(&five, &led(&five, &contacts), "eastus");
    assert_eq!(status.condition, LocationCondition::AgentUnreachable);
    // With one other region, no loss is ever agreed.
    let mut two_regions = settled();
    two_regions.apply(Command::RemoveAgent { agent: agent_name("southeastasia") });
    let contacts = [(1, NOW), (2, LastContact::Ago(MINUTE))];
    let status = location(&two_regions, &led(&two_regions, &contacts), "eastus");
    assert_eq!(status.condition, LocationCondition::AgentUnreachable);
}

#[test]
fn a_service_is_unavailable_once_no_region_serves() {
    let mut world = settled();
    let is_unavailable = |world: &World| {
        let conditions = status::cluster(&world.state, &healthy(world)).conditions;
        conditions.iter().any(|it| matches!(it, Condition::ServiceUnavailable { .. }))
    };
    for agent in ["eastus", "westeurope"] {
        assert!(!is_unavailable(&world), "before {agent} is lost");
        world.lose(agent, Gateways::All);
    }
    assert!(is_unavailable(&world));
    let health = status::cluster(&world.state, &healthy(&world)).health();
    assert_eq!(health, Health::ServiceUnavailable);
    let mut disabled = settled();
    disabled.edit(["eastus", "westeurope"].map(|name| Edit::Disable { region: region(name) }));
    assert!(is_unavailable(&disabled), "operators disabled all");
}
