use meridian_domain::{Incarnation, Revision, State, UnitId};
use meridian_ports::Read as _;
use tokio::time::Duration;

use crate::log::Quorum;
use crate::world::{World, region, service};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarts_without_a_majority_keeps_its_capacity() {
    let mut world = World::contoso(4);
    world.converged_agent().await.stop().await;
    let units = world.wanted();
    world.machine.dies(units[0]);
    world.restarts_with(State::default());
    let _life = world.agent();
    world.until("four answer", || world.machine.ready() == units).await;
    world.machine.dies(units[1]);
    world.until("one is down", || world.machine.ready().len() == 3).await;
    world.until("four answer again", || world.machine.ready() == units).await;
    world.passes(HOUR).await;
    assert_eq!((world.machine.ready(), world.machine.stops()), (units, vec![]));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_on_an_older_disk_nothing_is_stopped_until_a_majority_confirms() {
    let mut world = World::contoso(1);
    let old = world.log.state().clone();
    let life = world.converged_agent().await;
    world.scale(3);
    world.converges().await;
    life.killed().await;
    world.scale(2);
    let new = world.log.state().clone();
    world.restarts_with(old.clone());
    let _life = world.agent();
    world.passes(HOUR).await;
    assert_eq!((world.machine.ready().len(), world.machine.stops()), (3, vec![]));

    // It hears of the release, but not yet that this is the present.
    world.log.replace(new);
    world.passes(HOUR).await;
    assert_eq!((world.machine.ready().len(), world.machine.stops()), (3, vec![]));
    world.log.set_quorum(Quorum::Here);
    world.converges().await;
    assert_eq!(world.machine.stops().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_older_than_the_confirmed_read_stops_nothing() {
    let mut world = World::contoso(2);
    world.converged_agent().await.stop().await;
    world.log.hold_the_disk();
    world.scale(1);
    world.machine.finds(foreign(), Incarnation(1));
    let _life = world.agent();
    world.passes(HOUR).await;
    assert_eq!(world.machine.stops(), []);
    world.log.flush(world.log.revision());
    world.converges().await;
    assert_eq!(world.machine.stops().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_the_log_does_not_know_is_stopped_once_a_majority_confirms_that() {
    let mut world = World::contoso(1);
    world.log.set_quorum(Quorum::Away);
    let newer = Incarnation(world.log.revision().0 + 1_000);
    world.machine.finds(foreign(), Incarnation(1));
    world.machine.finds(foreign(), newer);
    let _life = world.agent();
    world.passes(HOUR).await;
    assert_eq!(world.machine.stops(), []);
    world.log.set_quorum(Quorum::Here);
    world.until("the surplus one is stopped", || world.machine.stops() == [Incarnation(1)]).await;
    world.passes(HOUR).await;
    assert!(world.machine.ready().contains(&newer), "the log may yet come to it");
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_ended_while_no_agent_ran_is_reported_gone() {
    let mut world = World::contoso(2);
    world.converged_agent().await.stop().await;
    world.scale(1);
    let released = world.units().into_iter().find(|unit| !unit.is_wanted()).unwrap();
    world.machine.dies(released.incarnation);
    let before = world.log.events().len();
    let _life = world.converged_agent().await;
    assert_eq!(world.events_since(before), ["UnitStopped"]);
    assert_eq!(world.machine.stops(), []);
}

#[tokio::test(start_paused = true)]
async fn what_happened_without_a_majority_is_reported_when_there_is_one() {
    let mut world = World::contoso(2);
    let _life = world.converged_agent().await;
    world.log.set_quorum(Quorum::Away);
    let before = world.log.events().len();
    for _ in 0..3 {
        world.machine.dies(world.wanted()[0]);
        world.until("it is down", || world.machine.ready().len() == 1).await;
        world.until("it is back", || world.machine.ready().len() == 2).await;
    }
    world.machine.dies(world.wanted()[0]);
    world.log.set_quorum(Quorum::Here);
    world.until("both answer", || world.machine.ready().len() == 2).await;
    world.converges().await;
    // The second is of the report that was on its way all the time.
    let events = world.events_since(before);
    let failed = events.iter().filter(|event| **event == "UnitFailed").count();
    assert!((1..=2).contains(&failed) && events.ends_with(&["UnitReady"]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_stored_set_is_never_replaced_by_an_older_one() {
    let mut world = World::contoso(1);
    let old = world.log.state().clone();
    world.scale(2);
    world.converged_agent().await.stop().await;
    let path = world.directory.path().join("desired");
    let before = std::fs::read(&path).unwrap();
    assert!(old.header.revision < world.log.revision() && old.header.revision > Revision(0));
    world.restarts_with(old);
    let life = world.agent();
    world.passes(HOUR).await;
    life.stop().await;
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

fn foreign() -> UnitId {
    UnitId { service: service("contoso"), region: region(), slot: 9 }
}
