use meridian_domain::{Event, Timestamp, UnitPhase};
use tokio::time::Duration;

use crate::machine::Habit;
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_unit_that_dies_is_back_within_a_second_and_the_log_tells_it_in_two_events() {
    let mut world = World::contoso(2);
    let _life = world.converged_agent().await;
    let before = world.log.events().len();
    world.machine.dies(world.wanted()[0]);
    world.until("one is left", || world.machine.ready().len() == 1).await;
    let began = tokio::time::Instant::now();
    world.until("two answer", || world.machine.ready().len() == 2).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    world.converges().await;
    assert_eq!(world.events_since(before), ["UnitFailed", "UnitReady"]);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_always_dies_makes_one_event_a_pause_and_the_pauses_double() {
    for lifetime in [0, 100, 2_000].map(Duration::from_millis) {
        let mut world = World::contoso(1);
        world.machine.set_habit(Habit::DieAfter(lifetime));
        let _life = world.agent();
        world.until("it has begun", || world.machine.starts().len() == 6).await;
        world.passes(Duration::from_secs(3_600)).await;
        let starts = world.machine.starts();
        let pauses = starts.windows(2).map(|pair| (pair[1].0 - pair[0].0) - lifetime);
        let half_seconds: Vec<u128> = pauses.map(|pause| pause.as_millis() / 500).collect();
        let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600];
        assert_eq!(half_seconds[..expected.len()], expected, "after {lifetime:?}");
        let events = world.log.events();
        let failed = events.iter().filter(|event| matches!(event, Event::UnitFailed { .. }));
        let ready = events.iter().filter(|event| matches!(event, Event::UnitReady { .. }));
        let (failed, ready) = (failed.count(), ready.count());
        assert!(failed.abs_diff(starts.len()) <= 1, "{failed} events of {} starts", starts.len());
        // Only the first times, while a pause is shorter than the unit lives.
        assert!(ready <= 3, "{ready} times ready after {lifetime:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_a_stranger_has_is_a_failure_that_names_the_stranger() {
    let mut world = World::contoso(1);
    world.machine.set_habit(Habit::FindThePortHeld);
    let _life = world.agent();
    let phase = || world.units()[0].phase.clone();
    let failed = || matches!(phase(), UnitPhase::Failed { restarts: 3, .. });
    world.until("it failed three times", failed).await;
    let UnitPhase::Failed { next_try, cause, .. } = phase() else { panic!("it failed") };
    assert_eq!(cause, "127.0.1.1:8080 is in use by process 12 (nginx)");
    assert!(next_try > Timestamp(0));
    world.machine.set_habit(Habit::Serve);
    world.converges().await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_released_while_it_waits_is_not_tried_again() {
    let mut world = World::contoso(2);
    world.machine.set_habit(Habit::DieAfter(Duration::ZERO));
    let _life = world.agent();
    world.until("they have failed", || world.machine.starts().len() >= 8).await;
    world.machine.set_habit(Habit::Serve);
    world.scale(1);
    world.converges().await;
    assert_eq!(world.units().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_hangs_is_reported_failed_and_left_alone_until_it_answers_again() {
    let mut world = World::contoso(2);
    let _life = world.converged_agent().await;
    let (before, starts) = (world.log.events().len(), world.machine.starts().len());
    let unit = world.wanted()[0];
    world.machine.hangs(unit, true);
    let failures = || {
        let phases = world.units().into_iter().map(|unit| unit.phase);
        let failed = phases.filter_map(|phase| match phase {
            UnitPhase::Failed { cause, .. } => Some(cause),
            _ => None,
        });
        failed.collect::<Vec<_>>()
    };
    let silent = ["it does not answer its control socket"];
    world.until("the log tells it", || failures() == silent).await;
    world.passes(Duration::from_secs(3_600)).await;
    assert_eq!(failures(), silent);
    world.machine.hangs(unit, false);
    world.converges().await;
    assert_eq!(world.events_since(before), ["UnitFailed", "UnitReady"]);
    assert_eq!((world.machine.starts().len(), world.machine.stops().len()), (starts, 0));
}
