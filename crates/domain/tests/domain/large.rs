//! Changes whose events would grow with the state are cut into changes that fit, and continued by
//! reports.

use bincode::Options;
use meridian_domain::limits::Limits;
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::status::{Blocked, location};
use meridian_domain::*;

use crate::invariants;
use crate::status::healthy;
use crate::world::*;

/// Applies a command after checking that its events fit into an entry.
fn apply_fitting(world: &mut World, command: Command) -> Vec<Event> {
    let events = world.apply(command);
    let format = bincode::DefaultOptions::new().with_fixint_encoding();
    let bytes = format.serialized_size(&events).expect("serializable");
    assert!(bytes <= limits::ENTRY_BYTES as u64, "{} events have {bytes} bytes", events.len());
    events
}

/// Returns a report of an agent that runs all its units and has stopped the draining ones.
fn report(world: &World, name: &str) -> Command {
    let agent = agent_name(name);
    let wanted = world.state.units_on(&agent).filter(|unit| unit.is_wanted());
    let row = |unit: &Unit| ReportedUnit {
        unit: unit.id.clone(),
        incarnation: unit.incarnation,
        status: UnitStatus::Ready { pid: Some(7), configuration: Revision(1), refused: None },
        replace: false,
    };
    let mut units: Vec<ReportedUnit> = wanted.map(row).collect();
    units.truncate(limits::UNITS_PER_REPORT);
    Command::Report(Report { units, ..world.report(name, 1, UnitStatus::Busy) })
}

/// Reports of the agent until nothing changes anymore. Returns the number of changes.
fn report_until_settled(world: &mut World, name: &str) -> usize {
    for changes in 0..1_000 {
        let report = report(world, name);
        if apply_fitting(world, report).is_empty() {
            return changes;
        }
    }
    panic!("the reports never settle");
}

fn placed_on(world: &World, name: &str) -> usize {
    world.state.units_on(&agent_name(name)).filter(|unit| unit.is_wanted()).count()
}

/// Returns a cluster with `services` services that have `units` units each in `japaneast`, where no
/// agent lives.
fn declared_ahead(services: u16, units: u16) -> World {
    let mut world = World::bootstrapped();
    for number in 0..services {
        let name = format!("a-service-with-a-long-name-{number:03}");
        world.apply(create(&name, Tier::Premium, "japaneast"));
        let edits = vec![scale("japaneast", units)];
        world.apply(Command::ChangeService { service: service(&name), expected: None, edits });
    }
    world
}

#[test]
fn the_first_agent_of_a_region_gets_units_up_to_its_limit_in_changes_that_fit() {
    let mut world = declared_ahead(990, 12);
    let joins = Command::RegisterAgent(agent("tokyo", 9, "japaneast"));
    assert_eq!(types(&apply_fitting(&mut world, joins))[0], "AgentRegistered");
    assert!(placed_on(&world, "tokyo") < limits::UNITS_PER_AGENT, "the rest follows by reports");
    report_until_settled(&mut world, "tokyo");
    assert_eq!(placed_on(&world, "tokyo"), limits::UNITS_PER_AGENT);
    let place = region("japaneast");
    for service in world.state.services.values() {
        let units = world.state.current_units(&service.name, &place).count();
        assert!((1..=2).contains(&units), "{} has {units} units", service.name);
        let declared = &service.locations[&place];
        let observations = healthy(&world);
        let status = location(&world.state, &observations, service, &place, declared);
        let full = Blocked::AgentFull { agent: agent_name("tokyo") };
        assert_eq!(status.blocked, [full], "the reason why the other units wait");
    }

    let waiting = service("a-service-with-a-long-name-500");
    let edits = |edit| Command::ChangeService {
        service: waiting.clone(),
        expected: None,
        edits: vec![edit],
    };
    let change = edits(scale("japaneast", 6));
    assert_eq!(types(&world.apply(change)), ["UnitsScaled"], "fewer units need no capacity");
    let message =
        "agent tokyo would have 1011 units; the maximum is 1000; add agents in its region";
    assert_eq!(world.rejections(edits(scale("japaneast", 12))), [message]);
    world.apply(edits(Edit::Port(20_000)));

    apply_fitting(&mut world, Command::RegisterAgent(agent("osaka", 10, "japaneast")));
    for _ in 0..20 {
        report_until_settled(&mut world, "osaka");
        report_until_settled(&mut world, "tokyo");
    }
    assert_eq!(placed_on(&world, "tokyo"), limits::UNITS_PER_AGENT);
    assert_eq!(placed_on(&world, "osaka"), limits::UNITS_PER_AGENT);
}

#[test]
fn an_agent_that_was_absent_for_long_reports_in_changes_that_fit() {
    let mut world = World::contoso();
    let unit = world.state.units.values().next().expect("has one").clone();
    let draining = (1_000..34_000).map(|number| {
        let incarnation = Incarnation(number);
        let unit = Unit { incarnation, phase: UnitPhase::Draining, ..unit.clone() };
        ((unit.id.clone(), incarnation), unit)
    });
    world.state.units.extend(draining);
    world.state.header.revision = Revision(40_000);
    let changes = report_until_settled(&mut world, "westeurope");
    assert!(changes > 33, "{changes} changes");
    assert_eq!(world.state.units.len(), 1);
}

#[test]
fn the_draining_units_of_an_agent_that_never_reports_are_bounded() {
    let mut world = World::contoso();
    for _ in 0..400 {
        world.edit([scale("westeurope", 12)]);
        world.edit([scale("westeurope", 1)]);
    }
    let draining = world.state.units.values().filter(|unit| !unit.is_wanted()).count();
    assert!(draining <= limits::DRAINING_PER_AGENT + 11, "{draining} draining units");
    let newest = world.state.units.values().map(|unit| unit.incarnation).max();
    let newest = newest.expect("there are units");
    assert!(world.state.units.keys().any(|(_, incarnation)| *incarnation == newest));
    invariants::check(&world.state);
}

/// Agents with so long names that moving the units of one of them does not fit into a change.
const SECOND: &str = "the-second-machine-of-the-region-which-has-a-long-name-too";
const THIRD: &str = "the-third-machine-of-the-region-which-has-the-longest-name";

/// Returns `contoso` and `fabrikam` with 999 ready units each in `westeurope`, on three agents.
fn many_units() -> World {
    let mut world = World::contoso();
    for (node, name) in [(8, SECOND), (9, THIRD)] {
        world.apply(Command::RegisterAgent(agent(name, node, "westeurope")));
    }
    let limits = Limits { premium_units: 1_000, ..Limits::default() };
    world.apply(Command::SetLimits { limits });
    world.apply(create("fabrikam", Tier::Premium, "westeurope"));
    for name in ["contoso", "fabrikam"] {
        let (service, edits) = (service(name), vec![scale("westeurope", 999)]);
        apply_fitting(&mut world, Command::ChangeService { service, expected: None, edits });
    }
    settle(&mut world);
    assert_eq!(world.state.units.len(), 1_998);
    world
}

fn settle(world: &mut World) {
    for _ in 0..10 {
        for name in ["westeurope", SECOND, THIRD] {
            if world.state.agents.contains_key(&agent_name(name)) {
                report_until_settled(world, name);
            }
        }
    }
    assert!(world.state.units.values().all(Unit::is_ready));
    invariants::check(&world.state);
}

#[test]
fn a_service_with_many_units_changes_its_port_and_is_deleted_in_changes_that_fit() {
    let mut world = many_units();
    apply_fitting(&mut world, change([Edit::Port(9_000)]));
    settle(&mut world);
    let (contoso, place) = (service("contoso"), region("westeurope"));
    let units: Vec<&Unit> = world.state.units_of(&contoso, &place).collect();
    assert_eq!(units.len(), 999);
    assert!(units.iter().all(|unit| unit.port == 9_000 && unit.is_ready()));

    let delete = Command::DeleteService { service: service("contoso"), expected: None };
    assert_eq!(types(&apply_fitting(&mut world, delete)), ["ServiceDeleted"]);
    assert!(world.state.units_of_service(&contoso).all(|unit| !unit.is_wanted()));
    settle(&mut world);
    assert_eq!(world.state.units.len(), 999);
}

#[test]
fn an_agent_with_many_units_is_drained_and_removed_in_changes_that_fit() {
    let mut world = many_units();
    apply_fitting(&mut world, Command::DrainAgent { agent: agent_name(SECOND) });
    settle(&mut world);
    assert_eq!(placed_on(&world, SECOND), 0);
    assert_eq!(world.state.units.len(), 1_998, "they moved to the others");
    apply_fitting(&mut world, Command::UndrainAgent { agent: agent_name(SECOND) });
    settle(&mut world);
    assert_eq!(placed_on(&world, SECOND), 666);
    apply_fitting(&mut world, Command::RemoveAgent { agent: agent_name(THIRD) });
    settle(&mut world);
    assert_eq!(world.state.units.len(), 1_998);
}
