use meridian_domain::{Incarnation, Revision, State, UnitId};
use meridian_ports::Read as _;
use tokio::time::Duration;

use crate::log::Quorum;
use crate::world::{World, region, service};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarts_without_a_quorum_keeps_its_capacity() {
    let mut world = World::contoso(4);
    world.converged_agent().await.stop().await;
    let units = world.wanted();
    world.machine.crash(units[0]);
    world.restart_with(State::default());
    let _agent = world.agent();
    world.until("four units are ready", || world.machine.ready() == units).await;
    world.machine.crash(units[1]);
    world.until("one unit is down", || world.machine.ready().len() == 3).await;
    world.until("four units are ready again", || world.machine.ready() == units).await;
    world.run_for(HOUR).await;
    assert_eq!((world.machine.ready(), world.machine.stops()), (units, vec![]));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_on_an_older_disk_nothing_is_stopped_until_a_majority_confirms_the_state() {
    let mut world = World::contoso(1);
    let old = world.log.state().clone();
    let agent = world.converged_agent().await;
    world.scale(3);
    world.converge().await;
    agent.kill().await;
    world.scale(2);
    let new = world.log.state().clone();
    world.restart_with(old.clone());
    let _agent = world.agent();
    world.run_for(HOUR).await;
    assert_eq!((world.machine.ready().len(), world.machine.stops()), (3, vec![]));

    // The agent sees the release, but no majority has confirmed the state yet.
    world.log.replace(new);
    world.run_for(HOUR).await;
    assert_eq!((world.machine.ready().len(), world.machine.stops()), (3, vec![]));
    world.log.set_quorum(Quorum::Reachable);
    world.converge().await;
    assert_eq!(world.machine.stops().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_desired_set_older_than_the_confirmed_read_stops_nothing() {
    let mut world = World::contoso(2);
    world.converged_agent().await.stop().await;
    world.log.stop_flushing();
    world.scale(1);
    world.machine.insert_running(foreign(), Incarnation(1));
    let _agent = world.agent();
    world.run_for(HOUR).await;
    assert_eq!(world.machine.stops(), []);
    world.log.flush(world.log.revision());
    world.converge().await;
    assert_eq!(world.machine.stops().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_unit_unknown_to_the_log_is_stopped_once_a_majority_confirms_the_state() {
    let mut world = World::contoso(1);
    world.log.set_quorum(Quorum::Unreachable);
    let newer = Incarnation(world.log.revision().0 + 1_000);
    world.machine.insert_running(foreign(), Incarnation(1));
    world.machine.insert_running(foreign(), newer);
    let _agent = world.agent();
    world.run_for(HOUR).await;
    assert_eq!(world.machine.stops(), []);
    world.log.set_quorum(Quorum::Reachable);
    world.until("the surplus unit is stopped", || world.machine.stops() == [Incarnation(1)]).await;
    world.run_for(HOUR).await;
    assert!(world.machine.ready().contains(&newer), "a later revision may have assigned it");
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_exited_while_no_agent_was_running_is_reported_stopped() {
    let mut world = World::contoso(2);
    world.converged_agent().await.stop().await;
    world.scale(1);
    let released = world.units().into_iter().find(|unit| !unit.is_wanted()).unwrap();
    world.machine.crash(released.incarnation);
    let before = world.log.events().len();
    let _agent = world.converged_agent().await;
    assert_eq!(world.events_since(before), ["UnitStopped"]);
    assert_eq!(world.machine.stops(), []);
}

#[tokio::test(start_paused = true)]
async fn failures_without_a_quorum_are_reported_once_there_is_one() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    world.log.set_quorum(Quorum::Unreachable);
    let before = world.log.events().len();
    for _ in 0..3 {
        world.machine.crash(world.wanted()[0]);
        world.until("one unit is down", || world.machine.ready().len() == 1).await;
        world.until("both units are ready", || world.machine.ready().len() == 2).await;
    }
    world.machine.crash(world.wanted()[0]);
    world.log.set_quorum(Quorum::Reachable);
    world.until("both units are ready", || world.machine.ready().len() == 2).await;
    world.converge().await;
    // A second one comes from the report that was in flight all the time.
    let events = world.events_since(before);
    let failed = events.iter().filter(|event| **event == "UnitFailed").count();
    assert!((1..=2).contains(&failed) && events.ends_with(&["UnitReady"]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_stored_set_is_never_replaced_by_an_older_set() {
    let mut world = World::contoso(1);
    let old = world.log.state().clone();
    world.scale(2);
    world.converged_agent().await.stop().await;
    let path = world.directory.path().join("desired");
    let before = std::fs::read(&path).unwrap();
    assert!(old.header.revision < world.log.revision() && old.header.revision > Revision(0));
    world.restart_with(old);
    let agent = world.agent();
    world.run_for(HOUR).await;
    agent.stop().await;
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

fn foreign() -> UnitId {
    UnitId { service: service("contoso"), region: region(), slot: 9 }
}
