//! Status of locations.

use meridian_domain::report::UnitStatus;
use meridian_domain::status::{
    Blocked, GatewayAddress, LastContact, LocationCondition, LocationStatus, Observations, Silence,
};
use meridian_domain::{Command, Edit, Timestamp, UnitPhase, status};

use super::{MINUTE, NOW, healthy, led, settled};
use crate::world::{World, agent, agent_name, region, remove, scale, service, zone, zones};

pub(crate) fn location(world: &World, observations: &Observations, name: &str) -> LocationStatus {
    let (service, region) = (world.service(), region(name));
    status::location(&world.state, observations, service, &region, &service.locations[&region])
}

#[test]
fn a_location_has_the_first_condition_that_applies() {
    let ready = settled();
    let mut missing = settled();
    missing.edit([scale("eastus", 3)]);
    let mut rolling = settled();
    rolling.apply(Command::RollUnits { service: service("contoso"), region: None });
    let mut without_agent = settled();
    without_agent.apply(Command::DrainAgent { agent: agent_name("eastus") });
    let mut disabled = settled();
    disabled.edit([Edit::Disable { region: region("eastus") }]);
    let silent = [(1, NOW), (2, LastContact::Ago(MINUTE)), (3, NOW)];
    let reachable = [(1, NOW), (2, NOW), (3, NOW)];
    for (world, contacts, condition, ready_units, unknown_units) in [
        (&ready, reachable, LocationCondition::Ready, 2, 0),
        (&missing, reachable, LocationCondition::UnitsMissing, 2, 0),
        (&rolling, reachable, LocationCondition::RollingOut, 2, 0),
        (&ready, silent, LocationCondition::Unmanaged, 0, 2),
        (&missing, silent, LocationCondition::Unmanaged, 0, 3),
        (&without_agent, silent, LocationCondition::NoAgent, 0, 0),
        (&disabled, reachable, LocationCondition::DrainingClients, 2, 0),
        (&disabled, silent, LocationCondition::Disabled, 0, 2),
    ] {
        let status = location(world, &led(world, &contacts), "eastus");
        assert_eq!(status.condition, condition);
        assert_eq!((status.ready_units, status.unknown_units), (ready_units, unknown_units));
        let converged = condition == LocationCondition::Ready;
        assert_eq!(status.converged, converged, "{condition:?}");
    }
}

#[test]
fn a_location_is_unreachable_only_if_an_agent_with_its_units_is() {
    let mut world = settled();
    world.apply(Command::RegisterAgent(agent("westeurope-2", 4, "westeurope")));
    let silent = LastContact::Ago(MINUTE);
    let without_units = led(&world, &[(1, NOW), (2, NOW), (3, NOW), (4, silent)]);
    let status = location(&world, &without_units, "westeurope");
    assert_eq!((status.condition, status.blocked), (LocationCondition::Ready, vec![]));
    let with_units = led(&world, &[(1, silent), (2, NOW), (3, NOW), (4, NOW)]);
    let status = location(&world, &with_units, "westeurope");
    assert_eq!(status.condition, LocationCondition::Unmanaged);
    let agent = agent_name("westeurope");
    let silence = Silence::Exactly(MINUTE);
    assert_eq!(status.blocked, [Blocked::AgentUnreachable { agent, silence }]);
}

#[test]
fn a_location_reports_zones_without_an_agent_and_failed_units() {
    let mut world = World::contoso();
    for (node, number) in [(4, 1), (5, 2)] {
        let mut agent = agent(&format!("japaneast-{number}"), node, "japaneast");
        agent.zone = Some(zone(number));
        world.apply(Command::RegisterAgent(agent));
    }
    world.edit([Edit::Add { region: region("japaneast"), units: 2, zones: zones(&[1, 2]) }]);
    assert_eq!(location(&world, &healthy(&world), "japaneast").blocked, []);
    world.apply(Command::RemoveAgent { agent: agent_name("japaneast-2") });
    let cause = "exit code 1".to_owned();
    let status = UnitStatus::Failed { restarts: 2, next_try: Timestamp(5), cause: cause.clone() };
    let report = world.report("japaneast-1", 1, status);
    world.apply(Command::Report(report));
    let (second, agent) = (zone(2), agent_name("japaneast-1"));
    let blocked = location(&world, &healthy(&world), "japaneast").blocked;
    let [
        Blocked::ZoneWithoutAgent { zone: empty },
        Blocked::UnitFailed { unit, agent: on, cause: why },
    ] = blocked.as_slice()
    else {
        panic!("{blocked:?}")
    };
    assert_eq!((*empty, on, why), (second, &agent, &cause));
    assert_eq!(unit.region, region("japaneast"));
}

#[test]
fn the_gateway_is_that_of_a_reachable_agent_with_a_ready_unit() {
    let mut world = settled();
    let gateway = |node: u64| Some(GatewayAddress { host: format!("127.0.1.{node}"), port: 8080 });
    assert_eq!(location(&world, &healthy(&world), "eastus").gateway, gateway(2));
    world.apply(Command::RegisterAgent(agent("eastus-2", 4, "eastus")));
    world.edit([scale("eastus", 4)]);
    assert_eq!(location(&world, &healthy(&world), "eastus").gateway, gateway(2));
    world.report_all_ready("eastus-2");
    let silent = led(&world, &[(1, NOW), (2, LastContact::Ago(MINUTE)), (3, NOW), (4, NOW)]);
    assert_eq!(location(&world, &silent, "eastus").gateway, gateway(4));
    let empty = location(&world, &healthy(&world), "westeurope").gateway;
    assert_eq!(empty, gateway(1));
}

#[test]
fn a_removed_location_remains_until_its_units_are_gone() {
    let mut world = settled();
    world.edit([remove("eastus")]);
    let removed = status::removed_regions(&world.state, world.service());
    assert_eq!(removed.into_iter().collect::<Vec<_>>(), [&region("eastus")]);
    let agent = agent_name("eastus");
    assert!(world.state.units_on(&agent).all(|unit| unit.phase == UnitPhase::Draining));
    world.report_all_ready("eastus");
    assert!(status::removed_regions(&world.state, world.service()).is_empty());
}
