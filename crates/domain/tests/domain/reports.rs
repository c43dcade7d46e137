use meridian_domain::report::{Report, UnitStatus};
use meridian_domain::*;

use crate::world::*;

const READY: UnitStatus =
    UnitStatus::Ready { pid: Some(7), configuration: Revision(2), refused: None };

fn failed(restarts: u32) -> UnitStatus {
    let cause = "it exited with 1".to_owned();
    UnitStatus::Failed { restarts, next_try: Timestamp(0), cause }
}

/// Applies a report and, as applying its entry would, records its number. Returns the event types.
fn apply_report(world: &mut World, report: Report) -> Vec<&'static str> {
    let order = (report.generation, report.sequence);
    let agent = report.agent.clone();
    let events = world.apply(Command::Report(report));
    let known = world.state.agents.get_mut(&agent).expect("the agent is registered");
    known.last_report = order;
    types(&events)
}

#[test]
fn a_report_emits_events_for_differences_only() {
    let mut world = World::contoso();
    let statuses = [
        (UnitStatus::Busy, vec![]),
        (READY, vec!["UnitReady"]),
        (READY, vec![]),
        (
            UnitStatus::Ready { pid: Some(7), configuration: Revision(3), refused: None },
            vec!["UnitConfigured"],
        ),
        (
            UnitStatus::Ready { pid: Some(8), configuration: Revision(3), refused: None },
            vec!["UnitReady"],
        ),
        (failed(1), vec!["UnitFailed"]),
        (failed(1), vec![]),
        (failed(2), vec!["UnitFailed"]),
        (UnitStatus::Busy, vec![]),
        (READY, vec!["UnitReady"]),
    ];
    for (sequence, (status, expected)) in (1..).zip(statuses) {
        let report = world.report("westeurope", sequence, status);
        assert_eq!(apply_report(&mut world, report), expected, "report {sequence}");
    }
}

#[test]
fn a_report_that_is_not_newer_is_rejected() {
    let mut world = World::contoso();
    let first = world.report("westeurope", 2, READY);
    apply_report(&mut world, first.clone());
    let message = "report of agent westeurope is stale: a newer one was already applied";
    assert_eq!(world.rejections(Command::Report(first.clone())), [message]);
    let older = Report { generation: Generation(0), sequence: Sequence(9), ..first.clone() };
    assert_eq!(world.rejections(Command::Report(older)), [message]);
    let restarted = Report { generation: Generation(2), sequence: Sequence(1), ..first };
    assert_eq!(apply_report(&mut world, restarted), Vec::<&str>::new());
}

#[test]
fn a_report_of_a_removed_agent_is_rejected() {
    let mut world = World::contoso();
    let report = world.report("westeurope", 1, READY);
    world.apply(Command::RemoveAgent { agent: agent_name("westeurope") });
    assert_eq!(world.rejections(Command::Report(report)), ["agent westeurope not found"]);
}

#[test]
fn a_released_unit_never_becomes_ready_and_has_stopped_once_it_is_missing() {
    let mut world = World::contoso();
    world.edit([add("eastus", 1), promote("eastus"), remove("westeurope")]);
    let ready = world.report("westeurope", 1, READY);
    assert_eq!(apply_report(&mut world, ready), Vec::<&str>::new());
    let stopped = Report { units: vec![], ..world.report("westeurope", 2, READY) };
    assert_eq!(apply_report(&mut world, stopped), ["UnitStopped"]);
    assert_eq!(world.state.units_on(&agent_name("westeurope")).count(), 0);
}

#[test]
fn a_released_unit_that_the_agent_has_not_observed_has_not_stopped() {
    let mut world = World::contoso();
    let observed = world.state.header.revision;
    world.edit([scale("westeurope", 2)]);
    world.edit([scale("westeurope", 1)]);
    let early = Report { observed, units: vec![], ..world.report("westeurope", 1, READY) };
    assert_eq!(apply_report(&mut world, early), Vec::<&str>::new());
    let late = Report { units: vec![], ..world.report("westeurope", 2, READY) };
    assert_eq!(apply_report(&mut world, late), ["UnitStopped"]);
}

#[test]
fn missing_active_units_and_rows_about_other_units_are_ignored() {
    let mut world = World::contoso();
    world.edit([add("eastus", 1)]);
    let foreign = world.report("eastus", 1, READY).units;
    let mut older_incarnation = world.report("westeurope", 1, READY);
    older_incarnation.units[0].incarnation = Incarnation(1);
    older_incarnation.units.extend(foreign);
    assert_eq!(apply_report(&mut world, older_incarnation), Vec::<&str>::new());
}

#[test]
fn a_long_cause_is_truncated_and_a_long_report_is_rejected() {
    let mut world = World::contoso();
    let cause = "é".repeat(1_000);
    let status = UnitStatus::Failed { restarts: 1, next_try: Timestamp(0), cause };
    let mut report = world.report("westeurope", 1, status);
    let events = world.apply(Command::Report(report.clone()));
    let [Event::UnitFailed { cause, .. }] = events.as_slice() else {
        panic!("{events:?} is not one failure");
    };
    assert_eq!(cause.chars().count(), limits::CAUSE_CHARS);
    report.units = vec![report.units[0].clone(); limits::UNITS_PER_REPORT + 1];
    assert_eq!(
        world.rejections(Command::Report(report)),
        ["report of agent westeurope has 1001 units; the maximum is 1000"]
    );
}

#[test]
fn a_part_of_a_table_says_nothing_about_units_outside_of_it() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 3)]);
    world.edit([add("eastus", 1), promote("eastus"), remove("westeurope")]);
    let incarnations = |world: &World| -> Vec<Incarnation> {
        world.state.units.keys().map(|(_, incarnation)| *incarnation).collect()
    };
    let draining = incarnations(&world);
    let part = Report {
        after: draining[1],
        observed: Revision(draining[2].0),
        units: vec![],
        ..world.report("westeurope", 1, READY)
    };
    assert_eq!(apply_report(&mut world, part), ["UnitStopped"]);
    assert_eq!(incarnations(&world), [draining[0], draining[1], draining[3]]);
}
