use std::collections::BTreeSet;

use meridian_agent::Ended;
use meridian_domain::Command;
use meridian_domain::limits::Limits;
use tokio::time::{Duration, Instant, sleep};

use crate::machine::Habit;
use crate::world::{World, create};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn the_machine_follows_the_log_and_then_nothing_is_written_any_more() {
    let mut world = World::contoso(3);
    let _life = world.converged_agent().await;
    for units in [12, 1, 4] {
        world.scale(units);
        world.converges().await;
        assert_eq!(world.machine.ready().len(), usize::from(units));
    }
    assert_eq!(world.passes(HOUR).await, (0, 0));
    let distinct: BTreeSet<_> = world.machine.starts().iter().map(|(_, unit)| *unit).collect();
    assert_eq!(world.machine.starts().len(), distinct.len(), "each assignment starts once");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_long_holds_up_no_start() {
    let mut world = World::contoso(3);
    let _life = world.converged_agent().await;
    world.machine.set_drain(Duration::from_secs(15));
    world.scale(1);
    world.until("two drain", || world.machine.ready().len() == 1).await;
    let began = Instant::now();
    world.log.does(create("fabrikam"));
    world.until("the new one answers", || world.machine.ready().len() == 2).await;
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    world.converges().await;
    assert_eq!(world.machine.stops().len(), 2, "each is told to stop once");
}

#[tokio::test(start_paused = true)]
async fn units_are_started_in_parallel_but_not_all_at_once() {
    let mut world = World::contoso(12);
    world.machine.set_habit(Habit::StartSlowly(Duration::from_secs(2)));
    let began = Instant::now();
    let _life = world.converged_agent().await;
    assert_eq!(world.machine.most_starting(), 8);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn units_outlive_their_agent_and_the_next_one_starts_and_says_nothing() {
    let mut world = World::contoso(2);
    let life = world.converged_agent().await;
    let units = world.machine.units();
    assert_eq!(life.stop().await, Ended::Shutdown);
    let _next = world.agent();
    assert_eq!(world.passes(HOUR).await, (0, 0));
    assert_eq!(world.machine.units(), units);
    assert_eq!(world.machine.starts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_acted_on_when_it_is_durable_here_and_not_before() {
    let mut world = World::contoso(1);
    let _life = world.converged_agent().await;
    world.log.hold_the_disk();
    world.scale(3);
    world.passes(HOUR).await;
    assert_eq!(world.machine.ready().len(), 1);
    world.log.flush(world.log.revision());
    world.until("three answer", || world.machine.ready().len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_not_reported_again_while_this_node_has_not_applied_it() {
    let mut world = World::contoso(1);
    world.log.set_lag(Duration::from_secs(3));
    let _life = world.converged_agent().await;
    assert_eq!(world.log.proposals(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_always_behind_the_state_holds_nothing_up() {
    let mut world = World::contoso(1);
    let _life = world.converged_agent().await;
    world.log.hold_the_disk();
    world.scale(3);
    for developer_units in [2, 1].into_iter().cycle().take(200) {
        let durable = world.log.revision();
        let limits = Limits { developer_units, ..Limits::default() };
        world.log.does(Command::SetLimits { limits });
        world.log.flush(durable);
        assert!(durable < world.log.revision());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.machine.ready().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_the_driver_cannot_say_what_runs_nothing_is_done() {
    let mut world = World::contoso(2);
    let _life = world.converged_agent().await;
    world.machine.set_reachable(false);
    world.scale(3);
    let (proposals, _) = world.passes(HOUR).await;
    assert_eq!((proposals, world.machine.starts().len(), world.machine.stops().len()), (0, 2, 0));
    world.machine.set_reachable(true);
    world.converges().await;
}
