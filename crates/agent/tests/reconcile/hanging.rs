//! Units that stop serving, but do not exit.

use std::time::Duration;

use meridian_agent::Ended;
use meridian_domain::UnitPhase;

use crate::log::Quorum;
use crate::world::World;

const UNRESPONSIVE: &str = "unresponsive: the unit runs but does not respond to its agent";

/// Returns the causes of the failed units.
fn failures(world: &World) -> Vec<String> {
    let phases = world.units().into_iter().map(|unit| unit.phase);
    let failed = phases.filter_map(|phase| match phase {
        UnitPhase::Failed { cause, .. } => Some(cause),
        UnitPhase::Starting | UnitPhase::Ready { .. } | UnitPhase::Draining => None,
    });
    failed.collect()
}

#[tokio::test(start_paused = true)]
async fn a_hung_unit_is_killed_and_started_again_under_the_same_incarnation() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    let (before, starts) = (world.log.events().len(), world.machine.starts().len());
    let unit = world.wanted()[0];
    world.machine.set_hung(unit, true);
    world.until("the log records the failure", || failures(&world) == [UNRESPONSIVE]).await;
    assert_eq!(world.machine.kills(), [], "it has time to recover");
    world.converge().await;
    assert_eq!(world.events_since(before), ["UnitFailed", "UnitReady"]);
    assert_eq!(world.machine.kills(), [unit]);
    assert_eq!((world.machine.starts().len(), world.machine.stops().len()), (starts + 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_recovers_in_time_is_not_killed() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    let unit = world.wanted()[0];
    world.machine.set_hung(unit, true);
    world.run_for(Duration::from_secs(8)).await;
    world.machine.set_hung(unit, false);
    world.run_for(Duration::from_secs(60)).await;
    world.converge().await;
    assert_eq!(world.machine.kills(), []);
}

#[tokio::test(start_paused = true)]
async fn a_hung_unit_that_cannot_be_killed_is_replaced_by_a_new_incarnation_once() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    let before = world.log.events().len();
    let unit = world.wanted()[0];
    world.machine.set_unkillable(true);
    world.machine.set_hung(unit, true);
    world.until("it is replaced", || !world.wanted().contains(&unit)).await;
    world.run_for(Duration::from_secs(600)).await;
    let expected = ["UnitFailed", "UnitReleased", "UnitAssigned", "UnitReady", "UnitStopped"];
    let mut events = world.events_since(before);
    events.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(events, expected);
    world.converge().await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_something_else_stopped_is_replaced_while_it_drains() {
    let mut world = World::contoso(1);
    let _agent = world.converged_agent().await;
    world.run_for(Duration::from_secs(5)).await;
    let unit = world.wanted()[0];
    world.machine.set_drain(Duration::from_secs(3_600));
    world.machine.drain_by_itself(unit);
    let replaced = || world.machine.ready().len() == 1 && world.wanted() != [unit];
    world.until("another one serves while it drains", replaced).await;
    assert!(world.machine.drains(unit));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_drains_is_replaced_by_an_agent_that_has_just_started() {
    let mut world = World::contoso(1);
    let agent = world.converged_agent().await;
    assert_eq!(agent.stop().await, Ended::Shutdown);
    let unit = world.wanted()[0];
    world.machine.set_drain(Duration::from_secs(3_600));
    world.machine.drain_by_itself(unit);
    let _agent = world.agent();
    let replaced = || world.machine.ready().len() == 1 && world.wanted() != [unit];
    world.until("another one serves while it drains", replaced).await;
    assert!(world.machine.drains(unit));
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_a_unit_that_something_else_stopped_starts_again_after_its_exit() {
    let mut world = World::contoso(1);
    let _agent = world.converged_agent().await;
    world.run_for(Duration::from_secs(5)).await;
    let unit = world.wanted()[0];
    world.log.set_quorum(Quorum::Unreachable);
    world.machine.drain_by_itself(unit);
    world.until("it has exited", || world.machine.ready().is_empty()).await;
    world.until("it serves again", || world.machine.ready() == [unit]).await;
}
