//! Units that their agent cannot keep as they are, and configurations that they refuse.

use meridian_domain::report::{Report, UnitStatus};
use meridian_domain::status::Blocked;
use meridian_domain::*;

use crate::status::{healthy, location};
use crate::world::*;

fn ready(world: &World) -> UnitStatus {
    let configuration = world.service().configuration;
    UnitStatus::Ready { pid: Some(7), configuration, refused: None }
}

fn failed() -> UnitStatus {
    let cause = "it drains, and nobody released it".to_owned();
    UnitStatus::Failed { restarts: 1, next_try: Timestamp(0), cause }
}

/// Returns a report in which every unit has the status and asks to be replaced.
fn replace(world: &World, sequence: u64, status: UnitStatus) -> Report {
    let mut report = world.report("westeurope", sequence, status);
    report.units.iter_mut().for_each(|row| row.replace = true);
    report
}

fn ready_units(world: &World) -> usize {
    world.state.units.values().filter(|unit| unit.is_ready()).count()
}

#[test]
fn a_unit_that_serves_is_replaced_once_and_serves_until_the_new_one_is_ready() {
    let mut world = World::contoso();
    world.report_all_ready("westeurope");
    let asked = replace(&world, 2, ready(&world));
    assert_eq!(types(&world.apply(Command::Report(asked.clone()))), ["UnitAssigned"]);
    assert_eq!(ready_units(&world), 1);
    let again = Report { sequence: Sequence(3), ..asked };
    assert_eq!(types(&world.apply(Command::Report(again))), Vec::<&str>::new());
    assert_eq!(types(&world.report_all_ready("westeurope")), ["UnitReady", "UnitReleased"]);
    assert_eq!(ready_units(&world), 1);
}

#[test]
fn a_unit_that_does_not_serve_is_replaced_and_released_at_once() {
    let mut world = World::contoso();
    world.report_all_ready("westeurope");
    let asked = replace(&world, 2, failed());
    let events = world.apply(Command::Report(asked));
    assert_eq!(types(&events), ["UnitFailed", "UnitReleased", "UnitAssigned"]);
}

#[test]
fn a_unit_is_not_replaced_on_an_agent_that_takes_no_units() {
    let mut world = World::contoso();
    world.apply(Command::DrainAgent { agent: agent_name("westeurope") });
    let asked = replace(&world, 2, failed());
    let events = world.apply(Command::Report(asked));
    assert!(!types(&events).contains(&"UnitAssigned"), "{events:?}");
}

#[test]
fn a_unit_that_is_replaced_during_a_roll_gets_one_new_assignment() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 2)]);
    world.report_all_ready("westeurope");
    world.apply(Command::RollUnits { service: service("contoso"), region: None });
    world.report_all_ready("westeurope");
    let mut asked = replace(&world, 9, failed());
    asked.units.retain(|row| row.unit.slot == 2);
    let assigned = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::UnitAssigned { .. })).count()
    };
    let events = world.apply(Command::Report(asked));
    assert!(assigned(&events) <= 1, "{events:?}");
    for _ in 0..3 {
        world.report_all_ready("westeurope");
    }
    assert_eq!((world.state.units.len(), ready_units(&world)), (2, 2));
}

#[test]
fn a_roll_keeps_a_unit_serving_that_became_ready_by_the_same_report() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 2)]);
    world.apply(Command::RollUnits { service: service("contoso"), region: None });
    world.report_all_ready("westeurope");
    assert_eq!(ready_units(&world), 2, "{:?}", world.state.units);
}

#[test]
fn a_refused_configuration_is_one_event_and_ends_with_the_next_configuration() {
    let mut world = World::contoso();
    world.report_all_ready("westeurope");
    let served = world.state.units.values().next().and_then(Unit::configuration);
    let status = |cause: &str| UnitStatus::Ready {
        pid: Some(7),
        configuration: served.expect("the unit is ready"),
        refused: Some(RefusedConfiguration {
            configuration: Revision(99),
            cause: cause.to_owned(),
        }),
    };
    let causes = [("host a", 1), ("host a", 0), ("host b", 0)];
    for (sequence, (cause, expected)) in (2..).zip(causes) {
        let report = world.report("westeurope", sequence, status(cause));
        let events = world.apply(Command::Report(report));
        assert_eq!(events.len(), expected, "{events:?}");
    }
    let unit = world.state.units.values().next().expect("there is one");
    assert_eq!(unit.refused().map(|refusal| refusal.cause.as_str()), Some("host a"));
    let next = UnitStatus::Ready { pid: Some(7), configuration: Revision(99), refused: None };
    let report = world.report("westeurope", 9, next);
    assert_eq!(types(&world.apply(Command::Report(report))), ["UnitConfigured"]);
    assert_eq!(world.state.units.values().next().and_then(Unit::refused), None);
}

#[test]
fn a_location_is_blocked_by_a_unit_that_refuses_the_current_configuration() {
    let mut world = World::contoso();
    world.report_all_ready("westeurope");
    let served = world.service().configuration;
    world.edit([publish("orders", "/orders", "http://a")]);
    let refused = RefusedConfiguration {
        configuration: world.service().configuration,
        cause: "host not found".to_owned(),
    };
    let status =
        UnitStatus::Ready { pid: Some(7), configuration: served, refused: Some(refused.clone()) };
    let report = world.report("westeurope", 2, status);
    world.apply(Command::Report(report));
    let blocked = location(&world, &healthy(&world), "westeurope").blocked;
    let [Blocked::ConfigurationRefused { refusal, .. }] = blocked.as_slice() else {
        panic!("{blocked:?}");
    };
    assert_eq!(*refusal, refused);
}
