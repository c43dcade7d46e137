use std::collections::BTreeSet;

use meridian_agent::Ended;
use meridian_domain::limits::Limits;
use meridian_domain::{Command, Generation};
use meridian_ports::Read as _;
use tokio::time::{Duration, Instant, sleep};

use crate::machine::Behavior;
use crate::world::{World, create, name};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn the_machine_converges_to_the_log_and_nothing_is_written_afterwards() {
    let mut world = World::contoso(3);
    let _agent = world.converged_agent().await;
    for units in [12, 1, 4] {
        world.scale(units);
        world.converge().await;
        assert_eq!(world.machine.ready().len(), usize::from(units));
    }
    assert_eq!(world.run_for(HOUR).await, (0, 0));
    let distinct: BTreeSet<_> = world.machine.starts().iter().map(|(_, unit)| *unit).collect();
    assert_eq!(world.machine.starts().len(), distinct.len(), "each incarnation starts once");
}

#[tokio::test(start_paused = true)]
async fn a_slow_drain_does_not_delay_a_start() {
    let mut world = World::contoso(3);
    let _agent = world.converged_agent().await;
    world.machine.set_drain(Duration::from_secs(15));
    world.scale(1);
    world.until("two units are draining", || world.machine.ready().len() == 1).await;
    let started = Instant::now();
    world.log.commit(create("fabrikam"));
    world.until("the new unit is ready", || world.machine.ready().len() == 2).await;
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    world.converge().await;
    assert_eq!(world.machine.stops().len(), 2, "each unit is stopped once");
}

#[tokio::test(start_paused = true)]
async fn units_start_in_parallel_up_to_a_limit() {
    let mut world = World::contoso(12);
    world.machine.set_behavior(Behavior::StartSlowly(Duration::from_secs(2)));
    let started = Instant::now();
    let _agent = world.converged_agent().await;
    assert_eq!(world.machine.max_starting(), 8);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn units_outlive_their_agent_and_the_next_process_run_changes_nothing() {
    let mut world = World::contoso(2);
    let agent = world.converged_agent().await;
    let units = world.machine.units();
    assert_eq!(agent.stop().await, Ended::Shutdown);
    let _next = world.agent();
    assert_eq!(world.run_for(HOUR).await, (0, 0));
    assert_eq!(world.machine.units(), units);
    assert_eq!(world.machine.starts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_acted_on_only_once_it_is_durable_on_this_node() {
    let mut world = World::contoso(1);
    let _agent = world.converged_agent().await;
    world.log.stop_flushing();
    world.scale(3);
    world.run_for(HOUR).await;
    assert_eq!(world.machine.ready().len(), 1);
    world.log.flush(world.log.revision());
    world.until("three units are ready", || world.machine.ready().len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn an_accepted_report_is_not_sent_again_before_this_node_has_applied_it() {
    let mut world = World::contoso(1);
    world.log.set_lag(Duration::from_secs(3));
    let _agent = world.converged_agent().await;
    assert_eq!(world.log.proposals(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_always_behind_the_state_delays_nothing() {
    let mut world = World::contoso(1);
    let _agent = world.converged_agent().await;
    world.log.stop_flushing();
    world.scale(3);
    for developer_units in [2, 1].into_iter().cycle().take(200) {
        let durable = world.log.revision();
        let limits = Limits { developer_units, ..Limits::default() };
        world.log.commit(Command::SetLimits { limits });
        world.log.flush(durable);
        assert!(durable < world.log.revision());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.machine.ready().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_while_the_driver_is_unreachable() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    world.machine.set_reachable(false);
    world.scale(3);
    let (proposals, _) = world.run_for(HOUR).await;
    assert_eq!((proposals, world.machine.starts().len(), world.machine.stops().len()), (0, 2, 0));
    world.machine.set_reachable(true);
    world.converge().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_on_a_restored_directory_learns_of_the_newer_generation_in_the_log() {
    let mut world = World::contoso(1);
    for _ in 0..3 {
        world.converged_agent().await.stop().await;
    }
    world.restore_generation(0);
    world.scale(2);
    assert_eq!(world.agent().ended().await, Ended::Outdated { newest: newest(&world) });

    world.restore_generation(newest(&world).0);
    world.converged_agent().await.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_on_a_restored_directory_learns_of_newer_reports_of_its_own_generation() {
    let mut world = World::contoso(1);
    for units in 1..4 {
        world.scale(units);
        world.converged_agent().await.stop().await;
    }
    // The copy was made before the last restart.
    let newest = newest(&world);
    world.restore_generation(newest.0 - 1);
    world.scale(4);
    assert_eq!(world.agent().ended().await, Ended::Outdated { newest });
}

/// Returns the newest generation of the agent's reports in the log.
fn newest(world: &World) -> Generation {
    world.log.state().agents[&name()].last_report.0
}
