//! Unit tables that are larger than one report.

use meridian_domain::{Incarnation, Revision, Unit, UnitId, UnitPhase, limits};
use meridian_ports::Read as _;
use tokio::time::Duration;

use crate::world::World;

/// Replaces the units of the world by `count` copies of its only unit, in that phase.
fn multiply(world: &World, count: u16, phase: UnitPhase) {
    let mut state = world.log.state().clone();
    let unit = state.units.values().next().unwrap().clone();
    state.units = (1..=count)
        .map(|slot| {
            let id = UnitId { slot, ..unit.id.clone() };
            let incarnation = Incarnation(1_000 + u64::from(slot));
            let unit = Unit { id: id.clone(), incarnation, phase: phase.clone(), ..unit.clone() };
            ((id, incarnation), unit)
        })
        .collect();
    let service = state.services.values_mut().next().unwrap();
    service.locations.values_mut().next().unwrap().units =
        if phase == UnitPhase::Draining { 1 } else { count };
    state.header.revision = Revision(100_000);
    world.log.replace(state);
}

#[tokio::test(start_paused = true)]
async fn more_units_than_fit_into_a_report_are_reported_in_parts() {
    let mut world = World::contoso(1);
    let count = u16::try_from(limits::UNITS_PER_REPORT * 6 / 5).unwrap();
    multiply(&world, count, UnitPhase::Starting);
    let _agent = world.agent();
    let ready = || world.units().iter().all(Unit::is_ready);
    world.until("the log has all units as ready", ready).await;
    assert_eq!(world.units().len(), usize::from(count));
    world.run_for(Duration::from_secs(60)).await;
    assert_eq!(world.run_for(Duration::from_secs(60)).await, (0, 0), "a steady agent is silent");
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_many_draining_units_reports_that_they_stopped() {
    let mut world = World::contoso(1);
    multiply(&world, 5_000, UnitPhase::Draining);
    let _agent = world.agent();
    let converged = || world.units().len() == 1 && world.has_converged();
    world.until("the draining units are gone, and one was assigned", converged).await;
}
