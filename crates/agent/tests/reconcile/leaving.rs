use std::sync::Arc;

use meridian_agent::{Ended, Reconciler, ReconcilerConfig};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::{
    AgentName, Command, Generation, Incarnation, NodeId, Revision, Sequence, State, Unit,
};
use meridian_ports::Read as _;
use tokio::sync::watch;
use tokio::time::Duration;

use crate::log::Quorum;
use crate::machine::Behavior;
use crate::world::{World, name};

#[tokio::test(start_paused = true)]
async fn a_removed_agent_drains_all_its_units_and_exits() {
    let mut world = World::contoso(3);
    let agent = world.converged_agent().await;
    world.machine.set_drain(Duration::from_secs(15));
    world.log.set_quorum(Quorum::Removed);
    assert_eq!(agent.ended().await, Ended::Removed);
    assert_eq!(world.machine.units(), []);
}

#[tokio::test(start_paused = true)]
async fn a_unit_whose_start_is_in_progress_when_its_agent_is_removed_exits_too() {
    let mut world = World::contoso(3);
    world.machine.set_behavior(Behavior::StartSlowly(Duration::from_secs(20)));
    let agent = world.agent();
    world.until("all three are starting", || world.machine.starts().len() == 3).await;
    world.log.set_quorum(Quorum::Removed);
    assert_eq!(agent.ended().await, Ended::Removed);
    world.run_for(Duration::from_secs(60)).await;
    assert_eq!(world.machine.units(), []);
}

#[tokio::test(start_paused = true)]
async fn a_start_in_progress_completes_before_the_shutdown() {
    let mut world = World::contoso(3);
    world.machine.set_behavior(Behavior::StartSlowly(Duration::from_secs(20)));
    let agent = world.agent();
    world.until("all three are starting", || world.machine.starts().len() == 3).await;
    assert_eq!(agent.stop().await, Ended::Shutdown);
    assert_eq!(world.machine.units().len(), 3, "a unit would start after the drain");
}

#[tokio::test(start_paused = true)]
async fn a_removed_agent_stays_removed_without_a_quorum() {
    let mut world = World::contoso(3);
    let agent = world.converged_agent().await;
    world.log.set_quorum(Quorum::Removed);
    assert_eq!(agent.ended().await, Ended::Removed);
    world.log.set_quorum(Quorum::Unreachable);
    assert_eq!(world.agent().ended().await, Ended::Removed);
    assert_eq!(world.machine.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_sees_its_removal_in_the_log_drains_its_units() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    let mut state: State = world.log.state().clone();
    state.agents.remove(&name());
    state.units.clear();
    state.header.revision = state.header.revision.next();
    world.log.replace(state);
    world.until("no unit runs", || world.machine.units().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_unregistered_agent_runs_and_reports_nothing() {
    let mut world = World::contoso(1);
    world.log.replace(State::default());
    let _agent = world.agent();
    assert_eq!(world.run_for(Duration::from_secs(60)).await, (0, 0));
    assert_eq!(world.machine.starts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_node_starts_no_units_of_an_earlier_node_of_the_same_name() {
    let mut world = World::contoso(1);
    let own = world.log.state().clone();
    let mut earlier = own.clone();
    earlier.agents.get_mut(&name()).unwrap().description.node = NodeId(9);
    world.log.replace(earlier);
    let _agent = world.agent();
    world.run_for(Duration::from_secs(60)).await;
    assert_eq!(world.machine.starts(), []);
    world.log.replace(own);
    world.until("its own unit runs", || world.machine.ready().len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_drained_agent_stops_its_units_and_keeps_running() {
    let mut world = World::contoso(2);
    let agent = world.converged_agent().await;
    // Another agent, so that this one can be drained.
    let mut state = world.log.state().clone();
    let mut other = state.agents[&name()].clone();
    other.description.name = AgentName::new("we-2").unwrap();
    other.description.node = NodeId(2);
    state.agents.insert(other.description.name.clone(), other);
    world.log.replace(state);
    world.log.commit(Command::DrainAgent { agent: name() });
    world.run_for(Duration::from_secs(60)).await;
    assert_eq!(world.machine.ready().len(), 2, "its units serve until the others are ready");
    world.log.commit(others_are_ready(&world));
    world.until("no unit runs", || world.machine.units().is_empty()).await;
    world.until("the log has no units", || world.units().is_empty()).await;
    assert_eq!(agent.stop().await, Ended::Shutdown);
}

/// Report of the other agent that its units are ready.
fn others_are_ready(world: &World) -> Command {
    let state = world.log.state();
    let agent = AgentName::new("we-2").unwrap();
    let ready = |unit: &Unit| ReportedUnit {
        unit: unit.id.clone(),
        incarnation: unit.incarnation,
        status: UnitStatus::Ready { pid: None, configuration: Revision(1), refused: None },
        replace: false,
    };
    let units = state.units_on(&agent).map(ready).collect();
    let (generation, sequence, observed) = (Generation(9), Sequence(1), state.header.revision);
    let after = Incarnation(0);
    Command::Report(Report { agent, generation, sequence, after, observed, units })
}

#[test]
fn a_corrupt_desired_set_is_an_error_that_names_the_file() {
    let world = World::contoso(1);
    std::fs::write(world.directory.path().join("desired"), "00000000 {}").unwrap();
    let directory = world.directory.path().to_owned();
    let (agent, generation, loads) = (name(), Generation(1), watch::Sender::default());
    let gateway = [127, 0, 1, 1].into();
    let config = ReconcilerConfig { agent, node: NodeId(1), directory, generation, gateway, loads };
    let driver = Arc::new(world.machine.clone());
    let built = Reconciler::build(config, world.log.clone(), world.log.clone(), driver);
    let error = built.map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read the desired units from "), "{error}");
    assert!(error.to_string().ends_with("/desired"), "{error}");
}
