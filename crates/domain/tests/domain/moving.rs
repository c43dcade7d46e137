//! Units that are assigned anew: the older one serves until the newer one is ready.

use meridian_domain::report::UnitStatus;
use meridian_domain::*;

use crate::world::*;

/// `contoso` with two ready units on the one agent of its one region, and another agent there.
fn ready_and_a_second_agent() -> World {
    let mut world = World::contoso();
    world.saves([scale("westeurope", 2)]);
    world.settles("westeurope");
    world.does(Command::RegisterAgent(agent("second", 9, "westeurope")));
    world
}

fn phases(world: &World) -> Vec<(u16, String, &'static str)> {
    let (service, region) = (service("contoso"), region("westeurope"));
    let phase = |unit: &Unit| match unit.phase {
        UnitPhase::Starting => "starting",
        UnitPhase::Ready { .. } => "ready",
        UnitPhase::Failed { .. } => "failed",
        UnitPhase::Draining => "draining",
    };
    let row = |unit: &Unit| (unit.id.slot, unit.agent.to_string(), phase(unit));
    world.state.units_of(&service, &region).map(row).collect()
}

fn row(slot: u16, agent: &str, phase: &'static str) -> (u16, String, &'static str) {
    (slot, agent.to_owned(), phase)
}

#[test]
fn a_unit_that_moves_serves_until_its_successor_is_ready() {
    let mut world = ready_and_a_second_agent();
    assert_eq!(
        phases(&world),
        [
            row(1, "westeurope", "ready"),
            row(2, "westeurope", "ready"),
            row(2, "second", "starting")
        ],
        "the new agent gets one unit, and the old one keeps it meanwhile"
    );
    let ready = world.settles("second");
    assert_eq!(types(&ready), ["UnitReady", "UnitReleased"], "in one change");
    let gone = world.settles("westeurope");
    assert_eq!(types(&gone), ["UnitStopped"]);
}

#[test]
fn a_unit_that_is_not_ready_is_not_kept() {
    let mut world = ready_and_a_second_agent();
    let events = world.does(Command::DrainAgent { agent: agent_name("second") });
    assert_eq!(
        types(&events),
        ["AgentDrained", "UnitReleased", "UnitAssigned"],
        "the one that was on its way up ends at once"
    );
    assert_eq!(phases(&world)[1], row(2, "westeurope", "ready"), "the first one serves still");
}

#[test]
fn fewer_units_end_at_once_with_what_bridges_them() {
    let mut world = ready_and_a_second_agent();
    world.saves([scale("westeurope", 1)]);
    let draining = phases(&world).into_iter().filter(|(_, _, phase)| *phase == "draining");
    assert_eq!(draining.count(), 2, "both assignments of the second slot");
    assert_eq!(world.state.ready_units(&service("contoso"), &region("westeurope")), 1);
}

#[test]
fn another_port_is_served_before_the_old_one_is_given_up() {
    let mut world = ready_and_a_second_agent();
    world.settles("second");
    world.saves([Edit::Port(9090)]);
    let ready = phases(&world).into_iter().filter(|(_, _, phase)| *phase == "ready");
    assert_eq!(ready.count(), 2);
    world.settles("westeurope");
    world.settles("second");
    let (service, region) = (service("contoso"), region("westeurope"));
    let ports: Vec<u16> =
        world.state.units_of(&service, &region).filter(|u| u.is_ready()).map(|u| u.port).collect();
    assert_eq!(ports, [9090, 9090]);
}

#[test]
fn a_roll_replaces_one_unit_after_another() {
    let mut world = World::contoso();
    world.saves([scale("westeurope", 3)]);
    world.settles("westeurope");
    let first: Vec<Incarnation> = world.state.units.values().map(|unit| unit.incarnation).collect();
    let saved = world.service().revision;
    let roll = Command::RollUnits { service: service("contoso"), region: None };
    assert_eq!(types(&world.does(roll)), ["RollStarted", "UnitAssigned"]);
    assert_eq!(world.service().revision, saved, "a roll makes no save conflict");
    for step in 1..3 {
        let events = world.settles("westeurope");
        let wanted = ["UnitReady", "UnitReleased", "UnitAssigned"];
        assert!(types(&events).ends_with(&wanted), "step {step}: {:?}", types(&events));
        assert!(world.state.ready_units(&service("contoso"), &region("westeurope")) == 3);
    }
    let last = world.settles("westeurope");
    assert!(types(&last).ends_with(&["UnitReady", "UnitReleased"]), "{:?}", types(&last));
    world.settles("westeurope");
    assert_eq!(world.state.units.len(), 3);
    assert!(world.state.units.values().all(|unit| !first.contains(&unit.incarnation)));
    assert_eq!(types(&world.settles("westeurope")), Vec::<&str>::new(), "it ends by itself");
}

#[test]
fn a_roll_stops_where_a_replacement_does_not_become_ready() {
    let mut world = World::contoso();
    world.saves([scale("westeurope", 2)]);
    world.settles("westeurope");
    world.does(Command::RollUnits { service: service("contoso"), region: None });
    let mut report = world.report("westeurope", 2, UnitStatus::Busy);
    for row in &mut report.units {
        let unit = &world.state.units[&(row.unit.clone(), row.incarnation)];
        row.status = match &unit.phase {
            UnitPhase::Ready { pid, configuration } => {
                UnitStatus::Ready { pid: *pid, configuration: *configuration }
            }
            _ => UnitStatus::Failed {
                restarts: 1,
                next_try: Timestamp(1),
                cause: "it exited".to_owned(),
            },
        };
    }
    assert_eq!(types(&world.does(Command::Report(report))), ["UnitFailed"]);
    assert_eq!(world.state.ready_units(&service("contoso"), &region("westeurope")), 2);
}

#[test]
fn a_roll_of_what_is_not_there_is_refused() {
    let world = World::contoso();
    let roll = |service, region| Command::RollUnits { service, region };
    assert_eq!(world.refuses(roll(service("fabrikam"), None)), ["there is no service fabrikam"]);
    assert_eq!(
        world.refuses(roll(service("contoso"), Some(region("eastus")))),
        ["contoso is not in eastus"]
    );
}

#[test]
fn an_agent_runs_only_so_many_units() {
    let mut world = World::founded();
    world.does(Command::RegisterAgent(agent("only", 1, "westeurope")));
    world.does(Command::SetLimits {
        limits: limits::Limits { premium_units: 1_000, ..limits::Limits::default() },
    });
    world.does(create("contoso", Tier::Premium, "westeurope"));
    world.does(create("fabrikam", Tier::Premium, "westeurope"));
    world.saves([scale("westeurope", 999)]);
    assert_eq!(
        world.refuses(change([scale("westeurope", 1_000)])),
        ["agent only would have 1001 units; it runs at most 1000: add agents there"]
    );
}
