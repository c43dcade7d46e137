use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use meridian_agent::desired_store::DesiredStore;
use meridian_domain::{Event, Timestamp, UnitPhase};
use tokio::time::Duration;

use crate::machine::Behavior;
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_crashed_unit_is_ready_within_a_second_and_causes_two_events() {
    let mut world = World::contoso(2);
    let _agent = world.converged_agent().await;
    let before = world.log.events().len();
    world.machine.crash(world.wanted()[0]);
    world.until("one unit is left", || world.machine.ready().len() == 1).await;
    let started = tokio::time::Instant::now();
    world.until("two units are ready", || world.machine.ready().len() == 2).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    world.converge().await;
    assert_eq!(world.events_since(before), ["UnitFailed", "UnitReady"]);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_always_crashes_causes_one_event_per_restart_and_the_delays_double() {
    for lifetime in [0, 100, 2_000].map(Duration::from_millis) {
        let mut world = World::contoso(1);
        world.machine.set_behavior(Behavior::CrashAfter(lifetime));
        let _agent = world.agent();
        world.until("it has started six times", || world.machine.starts().len() == 6).await;
        world.run_for(Duration::from_secs(3_600)).await;
        let starts = world.machine.starts();
        let delays = starts.windows(2).map(|pair| (pair[1].0 - pair[0].0) - lifetime);
        let half_seconds: Vec<u128> = delays.map(|delay| delay.as_millis() / 500).collect();
        let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600];
        assert_eq!(half_seconds[..expected.len()], expected, "after {lifetime:?}");
        let events = world.log.events();
        let failed = events.iter().filter(|event| matches!(event, Event::UnitFailed { .. }));
        let ready = events.iter().filter(|event| matches!(event, Event::UnitReady { .. }));
        let (failed, ready) = (failed.count(), ready.count());
        assert!(failed.abs_diff(starts.len()) <= 1, "{failed} events for {} starts", starts.len());
        // Only the first times, while the delay is shorter than the unit's lifetime.
        assert!(ready <= 3, "{ready} times ready after {lifetime:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_is_a_failure_that_names_the_other_process() {
    let mut world = World::contoso(1);
    world.machine.set_behavior(Behavior::PortInUse);
    let _agent = world.agent();
    let phase = || world.units()[0].phase.clone();
    let failed = || matches!(phase(), UnitPhase::Failed { restarts: 3, .. });
    world.until("it failed three times", failed).await;
    let UnitPhase::Failed { next_try, cause, .. } = phase() else { panic!("it failed") };
    assert_eq!(cause, "127.0.1.1:8080 is in use by process 12 (nginx)");
    assert!(next_try > Timestamp(0));
    world.machine.set_behavior(Behavior::Serve);
    world.converge().await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_released_during_its_backoff_is_not_restarted() {
    let mut world = World::contoso(2);
    world.machine.set_behavior(Behavior::CrashAfter(Duration::ZERO));
    let _agent = world.agent();
    world.until("they have failed", || world.machine.starts().len() >= 8).await;
    world.machine.set_behavior(Behavior::Serve);
    world.scale(1);
    world.converge().await;
    assert_eq!(world.units().len(), 1);
}

/// A store whose process has no file descriptors left while `exhausted`.
#[derive(Default)]
struct Exhaustible {
    exhausted: AtomicBool,
}

#[async_trait]
impl DesiredStore for Exhaustible {
    fn path(&self) -> PathBuf {
        "desired".into()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn replace(&self, _: Vec<u8>) -> io::Result<()> {
        let too_many_open_files = 24;
        match self.exhausted.load(Ordering::Relaxed) {
            true => Err(io::Error::from_raw_os_error(too_many_open_files)),
            false => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_descriptors_keeps_its_units_and_stores_the_new_set_once_it_has_some() {
    let mut world = World::contoso(2);
    let store = Arc::new(Exhaustible::default());
    let agent = world.agent_with_store(store.clone());
    world.converge().await;
    let units = world.wanted();
    store.exhausted.store(true, Ordering::Relaxed);
    world.scale(3);
    world.machine.crash(units[0]);
    world.until("one unit is down", || world.machine.ready().len() == 1).await;
    world.until("the old units are ready again", || world.machine.ready() == units).await;
    world.run_for(Duration::from_secs(600)).await;
    assert_eq!(world.machine.ready(), units);
    store.exhausted.store(false, Ordering::Relaxed);
    world.converge().await;
    assert_eq!(world.machine.ready().len(), 3);
    agent.stop().await;
}
