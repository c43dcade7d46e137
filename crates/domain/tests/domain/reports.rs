use meridian_domain::report::{Report, UnitStatus};
use meridian_domain::*;

use crate::world::*;

const READY: UnitStatus = UnitStatus::Ready { pid: Some(7), configuration: Revision(2) };

fn failed(restarts: u32) -> UnitStatus {
    let cause = "it exited with 1".to_owned();
    UnitStatus::Failed { restarts, next_try: Timestamp(0), cause }
}

/// Takes in a report that is made of the whole table of the agent `westeurope`, and records it as
/// applying its entry does.
fn take_in(world: &mut World, report: Report) -> Vec<&'static str> {
    let order = (report.generation, report.sequence);
    let agent = report.agent.clone();
    let events = world.does(Command::Report(report));
    let known = world.state.agents.get_mut(&agent).expect("the agent is known");
    known.last_report = order;
    types(&events)
}

#[test]
fn a_report_makes_events_of_what_differs_and_nothing_of_the_rest() {
    let mut world = World::contoso();
    let statuses = [
        (UnitStatus::Busy, vec![]),
        (READY, vec!["UnitReady"]),
        (READY, vec![]),
        (UnitStatus::Ready { pid: Some(7), configuration: Revision(3) }, vec!["UnitConfigured"]),
        (UnitStatus::Ready { pid: Some(8), configuration: Revision(3) }, vec!["UnitReady"]),
        (failed(1), vec!["UnitFailed"]),
        (failed(1), vec![]),
        (failed(2), vec!["UnitFailed"]),
        (UnitStatus::Busy, vec![]),
        (READY, vec!["UnitReady"]),
    ];
    for (sequence, (status, expected)) in (1..).zip(statuses) {
        let report = world.report("westeurope", sequence, status);
        assert_eq!(take_in(&mut world, report), expected, "report {sequence}");
    }
}

#[test]
fn a_report_that_is_not_newer_is_refused() {
    let mut world = World::contoso();
    let first = world.report("westeurope", 2, READY);
    take_in(&mut world, first.clone());
    let sentence = "the report of agent westeurope is older than one that was taken in";
    assert_eq!(world.refuses(Command::Report(first.clone())), [sentence]);
    let older = Report { generation: Generation(0), sequence: Sequence(9), ..first.clone() };
    assert_eq!(world.refuses(Command::Report(older)), [sentence]);
    let restarted = Report { generation: Generation(2), sequence: Sequence(1), ..first };
    assert_eq!(take_in(&mut world, restarted), Vec::<&str>::new());
}

#[test]
fn a_report_of_an_agent_that_was_removed_is_refused() {
    let mut world = World::contoso();
    let report = world.report("westeurope", 1, READY);
    world.does(Command::RemoveAgent { agent: agent_name("westeurope") });
    assert_eq!(world.refuses(Command::Report(report)), ["there is no agent westeurope"]);
}

#[test]
fn a_released_unit_is_never_ready_again_and_has_stopped_once_it_is_missing() {
    let mut world = World::contoso();
    world.saves([add("eastus", 1), promote("eastus"), remove("westeurope")]);
    let ready = world.report("westeurope", 1, READY);
    assert_eq!(take_in(&mut world, ready), Vec::<&str>::new());
    let gone = world.report("westeurope", 2, READY);
    let gone = Report { units: vec![], ..gone };
    assert_eq!(take_in(&mut world, gone), ["UnitStopped"]);
    assert_eq!(world.state.units_on(&agent_name("westeurope")).count(), 0);
}

#[test]
fn a_released_unit_that_the_agent_never_heard_of_is_not_taken_for_stopped() {
    let mut world = World::contoso();
    let observed = world.state.header.revision;
    world.saves([scale("westeurope", 2)]);
    world.saves([scale("westeurope", 1)]);
    let early = Report { observed, units: vec![], ..world.report("westeurope", 1, READY) };
    assert_eq!(take_in(&mut world, early), Vec::<&str>::new());
    let late = Report { units: vec![], ..world.report("westeurope", 2, READY) };
    assert_eq!(take_in(&mut world, late), ["UnitStopped"]);
}

#[test]
fn a_wanted_unit_that_is_missing_and_rows_about_others_make_no_events() {
    let mut world = World::contoso();
    world.saves([add("eastus", 1)]);
    let foreign = world.report("eastus", 1, READY).units;
    let mut of_an_older_incarnation = world.report("westeurope", 1, READY);
    of_an_older_incarnation.units[0].incarnation = Incarnation(1);
    of_an_older_incarnation.units.extend(foreign);
    assert_eq!(take_in(&mut world, of_an_older_incarnation), Vec::<&str>::new());
}

#[test]
fn a_cause_is_cut_to_its_limit_and_a_report_has_one() {
    let mut world = World::contoso();
    let cause = "é".repeat(1_000);
    let status = UnitStatus::Failed { restarts: 1, next_try: Timestamp(0), cause };
    let mut report = world.report("westeurope", 1, status);
    let events = world.does(Command::Report(report.clone()));
    let [Event::UnitFailed { cause, .. }] = events.as_slice() else {
        panic!("{events:?} is not one failure");
    };
    assert_eq!(cause.chars().count(), limits::CAUSE_CHARS);
    report.units = vec![report.units[0].clone(); limits::UNITS_PER_REPORT + 1];
    assert_eq!(
        world.refuses(Command::Report(report)),
        ["a report has at most 4096 units; that of agent westeurope has 4097"]
    );
}
