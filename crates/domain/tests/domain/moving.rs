//! Replacing units: the older one serves until the newer one is ready.

use meridian_domain::report::UnitStatus;
use meridian_domain::*;

use crate::world::*;

/// Returns `contoso` with two ready units on one agent, and a second agent in the same region.
fn two_ready_units_and_a_second_agent() -> World {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 2)]);
    world.report_all_ready("westeurope");
    world.apply(Command::RegisterAgent(agent("second", 9, "westeurope")));
    world
}

/// Returns the number of slots of `contoso` in westeurope with a ready unit.
fn ready_units(world: &World) -> usize {
    let (service, region) = (service("contoso"), region("westeurope"));
    let units = world.state.units_of(&service, &region);
    let slots: std::collections::BTreeSet<u16> =
        units.filter(|unit| unit.is_ready()).map(|unit| unit.id.slot).collect();
    slots.len()
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
fn a_moving_unit_serves_until_its_replacement_is_ready() {
    let mut world = two_ready_units_and_a_second_agent();
    assert_eq!(
        phases(&world),
        [
            row(1, "westeurope", "ready"),
            row(2, "westeurope", "ready"),
            row(2, "second", "starting")
        ],
        "the new agent is assigned one unit, and the old one still serves it"
    );
    let ready = world.report_all_ready("second");
    assert_eq!(types(&ready), ["UnitReady", "UnitReleased"], "in one change");
    let stopped = world.report_all_ready("westeurope");
    assert_eq!(types(&stopped), ["UnitStopped"]);
}

#[test]
fn a_moving_unit_that_is_not_ready_is_released_immediately() {
    let mut world = two_ready_units_and_a_second_agent();
    let events = world.apply(Command::DrainAgent { agent: agent_name("second") });
    assert_eq!(
        types(&events),
        ["AgentDrained", "UnitReleased", "UnitAssigned"],
        "the starting unit is released immediately"
    );
    assert_eq!(phases(&world)[1], row(2, "westeurope", "ready"), "the ready one still serves");
}

#[test]
fn scaling_down_releases_all_assignments_of_a_slot_together() {
    let mut world = two_ready_units_and_a_second_agent();
    world.edit([scale("westeurope", 1)]);
    let draining = phases(&world).into_iter().filter(|(_, _, phase)| *phase == "draining");
    assert_eq!(draining.count(), 2, "both assignments of the second slot");
    assert_eq!(ready_units(&world), 1);
}

#[test]
fn a_port_change_keeps_the_old_port_until_the_new_one_is_ready() {
    let mut world = two_ready_units_and_a_second_agent();
    world.report_all_ready("second");
    world.edit([Edit::Port(9090)]);
    let ready = phases(&world).into_iter().filter(|(_, _, phase)| *phase == "ready");
    assert_eq!(ready.count(), 2);
    world.report_all_ready("westeurope");
    world.report_all_ready("second");
    let (service, region) = (service("contoso"), region("westeurope"));
    let ports: Vec<u16> =
        world.state.units_of(&service, &region).filter(|u| u.is_ready()).map(|u| u.port).collect();
    assert_eq!(ports, [9090, 9090]);
}

#[test]
fn a_roll_replaces_units_one_after_another() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 3)]);
    world.report_all_ready("westeurope");
    let first: Vec<Incarnation> = world.state.units.values().map(|unit| unit.incarnation).collect();
    let saved = world.service().revision;
    let roll = Command::RollUnits { service: service("contoso"), region: None };
    assert_eq!(types(&world.apply(roll)), ["RollStarted", "UnitAssigned"]);
    assert_eq!(
        world.service().revision,
        saved,
        "a roll does not advance the revision of the service"
    );
    for step in 1..3 {
        let events = world.report_all_ready("westeurope");
        let wanted = ["UnitReady", "UnitReleased", "UnitAssigned"];
        assert!(types(&events).ends_with(&wanted), "step {step}: {:?}", types(&events));
        assert!(ready_units(&world) == 3);
    }
    let last = world.report_all_ready("westeurope");
    assert!(types(&last).ends_with(&["UnitReady", "UnitReleased"]), "{:?}", types(&last));
    world.report_all_ready("westeurope");
    assert_eq!(world.state.units.len(), 3);
    assert!(world.state.units.values().all(|unit| !first.contains(&unit.incarnation)));
    assert_eq!(
        types(&world.report_all_ready("westeurope")),
        Vec::<&str>::new(),
        "the roll has ended"
    );
}

#[test]
fn a_roll_pauses_while_a_replacement_is_not_ready() {
    let mut world = World::contoso();
    world.edit([scale("westeurope", 2)]);
    world.report_all_ready("westeurope");
    world.apply(Command::RollUnits { service: service("contoso"), region: None });
    let mut report = world.report("westeurope", 2, UnitStatus::Busy);
    for row in &mut report.units {
        let unit = &world.state.units[&(row.unit.clone(), row.incarnation)];
        row.status = match &unit.phase {
            UnitPhase::Ready { pid, configuration, refused } => UnitStatus::Ready {
                pid: *pid,
                configuration: *configuration,
                refused: refused.clone(),
            },
            UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining => {
                UnitStatus::Failed {
                    restarts: 1,
                    next_try: Timestamp(1),
                    cause: "it exited".to_owned(),
                }
            }
        };
    }
    assert_eq!(types(&world.apply(Command::Report(report))), ["UnitFailed"]);
    assert_eq!(ready_units(&world), 2);
}

#[test]
fn a_roll_of_an_unknown_service_or_region_is_rejected() {
    let world = World::contoso();
    let roll = |service, region| Command::RollUnits { service, region };
    assert_eq!(world.rejections(roll(service("fabrikam"), None)), ["service fabrikam not found"]);
    assert_eq!(
        world.rejections(roll(service("contoso"), Some(region("eastus")))),
        ["service contoso has no region eastus"]
    );
}

#[test]
fn the_number_of_units_of_an_agent_is_limited() {
    let mut world = World::bootstrapped();
    world.apply(Command::RegisterAgent(agent("only", 1, "westeurope")));
    world.apply(Command::SetLimits {
        limits: limits::Limits { premium_units: 1_000, ..limits::Limits::default() },
    });
    world.apply(create("contoso", Tier::Premium, "westeurope"));
    world.apply(create("fabrikam", Tier::Premium, "westeurope"));
    world.edit([scale("westeurope", 999)]);
    assert_eq!(
        world.rejections(change([scale("westeurope", 1_000)])),
        ["agent only would have 1001 units; the maximum is 1000; add agents in its region"]
    );
}
