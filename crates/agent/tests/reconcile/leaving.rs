use std::sync::Arc;

use meridian_agent::{Ended, Reconciler, ReconcilerConfig};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::{AgentName, Command, Generation, NodeId, Revision, Sequence, State, Unit};
use meridian_ports::Read as _;
use tokio::sync::watch;
use tokio::time::Duration;

use crate::log::Quorum;
use crate::machine::Habit;
use crate::world::{World, name};

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_removed_drains_all_its_units_and_ends() {
    let mut world = World::contoso(3);
    let life = world.converged_agent().await;
    world.machine.set_drain(Duration::from_secs(15));
    world.log.set_quorum(Quorum::Removed);
    assert_eq!(life.ends().await, Ended::Removed);
    assert_eq!(world.machine.units(), []);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_being_started_when_its_agent_is_removed_ends_too() {
    let mut world = World::contoso(3);
    world.machine.set_habit(Habit::StartSlowly(Duration::from_secs(20)));
    let life = world.agent();
    world.until("they are being started", || world.machine.starts().len() == 3).await;
    world.log.set_quorum(Quorum::Removed);
    assert_eq!(life.ends().await, Ended::Removed);
    world.passes(Duration::from_secs(60)).await;
    assert_eq!(world.machine.units(), []);
}

#[tokio::test(start_paused = true)]
async fn a_removed_agent_stays_removed_also_where_nobody_can_say_so_again() {
    let mut world = World::contoso(3);
    let life = world.converged_agent().await;
    world.log.set_quorum(Quorum::Removed);
    assert_eq!(life.ends().await, Ended::Removed);
    world.log.set_quorum(Quorum::Away);
    assert_eq!(world.agent().ends().await, Ended::Removed);
    assert_eq!(world.machine.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_sees_its_removal_in_the_log_drains_as_well() {
    let mut world = World::contoso(2);
    let _life = world.converged_agent().await;
    let mut state: State = world.log.state().clone();
    state.agents.remove(&name());
    state.units.clear();
    state.header.revision = state.header.revision.next();
    world.log.replace(state);
    world.until("nothing runs", || world.machine.units().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_registered_yet_runs_nothing_and_says_nothing() {
    let mut world = World::contoso(1);
    world.log.replace(State::default());
    let _life = world.agent();
    assert_eq!(world.passes(Duration::from_secs(60)).await, (0, 0));
    assert_eq!(world.machine.starts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_drained_agent_ends_its_units_and_goes_on() {
    let mut world = World::contoso(2);
    let life = world.converged_agent().await;
    // Another agent, so that this one may be drained.
    let mut state = world.log.state().clone();
    let mut other = state.agents[&name()].clone();
    other.description.name = AgentName::new("we-2").unwrap();
    other.description.node = NodeId(2);
    state.agents.insert(other.description.name.clone(), other);
    world.log.replace(state);
    world.log.does(Command::DrainAgent { agent: name() });
    world.passes(Duration::from_secs(60)).await;
    assert_eq!(world.machine.ready().len(), 2, "it serves until others do");
    world.log.does(others_are_ready(&world));
    world.until("nothing runs", || world.machine.units().is_empty()).await;
    world.until("the log says so", || world.units().is_empty()).await;
    assert_eq!(life.stop().await, Ended::Shutdown);
}

/// The report of the other agent that its units are ready.
fn others_are_ready(world: &World) -> Command {
    let state = world.log.state();
    let agent = AgentName::new("we-2").unwrap();
    let ready = |unit: &Unit| ReportedUnit {
        unit: unit.id.clone(),
        incarnation: unit.incarnation,
        status: UnitStatus::Ready { pid: None, configuration: Revision(1) },
    };
    let units = state.units_on(&agent).map(ready).collect();
    let (generation, sequence, observed) = (Generation(9), Sequence(1), state.header.revision);
    Command::Report(Report { agent, generation, sequence, observed, units })
}

#[test]
fn a_damaged_set_is_an_error_that_names_the_file() {
    let world = World::contoso(1);
    std::fs::write(world.directory.path().join("desired"), "00000000 {}").unwrap();
    let directory = world.directory.path().to_owned();
    let (agent, generation, loads) = (name(), Generation(1), watch::Sender::default());
    let config = ReconcilerConfig { agent, directory, generation, loads };
    let driver = Arc::new(world.machine.clone());
    let built = Reconciler::build(config, world.log.clone(), world.log.clone(), driver);
    let error = built.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("/desired does not give the units"), "{error}");
}
