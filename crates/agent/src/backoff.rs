//! Restart backoff of failed units.
//!
//! The first delay is [`MIN_DELAY`]. Each consecutive failure doubles it, up to [`MAX_DELAY`]. A
//! unit that was ready for [`RESET_AFTER`] starts over with the first delay. The table is not
//! stored: after a restart, the agent tries every unit immediately.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meridian_domain::report::UnitStatus;
use meridian_domain::{Incarnation, Timestamp, limits};
use tokio::time::Instant;

use crate::desired::Desired;
use crate::driver::Phase;
use crate::observe::Observed;

/// Delay after the first failure: a unit that was merely killed is back within a second.
pub(crate) const MIN_DELAY: Duration = Duration::from_millis(500);
/// Maximum delay: once the cause is fixed, the unit is started within five minutes.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(5 * 60);
/// Time after which a ready unit counts as recovered, so that its next failure is the first again.
pub(crate) const RESET_AFTER: Duration = Duration::from_secs(10 * 60);
/// Maximum probation. After a failure, a unit is reported ready once it has been ready for as long
/// as its restart delay, but at most this long. So a unit that fails again immediately causes one
/// event per restart instead of two.
pub(crate) const MAX_PROBATION: Duration = Duration::from_secs(5);

/// Cause of a failure that left no exit status.
const DISAPPEARED: &str = "the process is gone, and this agent did not stop it";

/// Cause of failure of a hung unit.
const UNRESPONSIVE: &str = "unresponsive: the unit runs but does not respond to its agent";
/// Time that a hung unit has to recover. Then it is killed and started again.
pub(crate) const KILL_AFTER: Duration = Duration::from_secs(10);
/// Time after the kill of a hung unit after which the log must replace it: a process in an
/// uninterruptible system call does not exit.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Cause of failure of a unit that drains although it should run.
const DRAINS: &str = "the unit drains: something other than its agent stopped it";
/// Time for which a unit must have served to be replaced while it drains. Another one starts again
/// after its exit, with a growing delay, so that the log does not grow with every stop.
const REPLACED_AFTER: Duration = Duration::from_secs(2);

/// A point in time on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Monotonic time, for waiting.
    pub(crate) instant: Instant,
    /// Wall-clock time, for display.
    pub(crate) wall: Timestamp,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), wall: Timestamp(millis(since_epoch)) }
    }
}

/// Failures of the units that this agent should run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    rows: BTreeMap<Incarnation, Row>,
}

#[derive(Debug, Clone, Default)]
struct Row {
    /// Consecutive failures.
    failures: u32,
    /// Time at which the unit was first seen ready since its last start.
    ready_since: Option<Instant>,
    /// Last failure. `None` once the unit has been started again.
    failure: Option<Failure>,
    /// Time at which the log should replace the unit, if nothing has changed until then.
    replace_at: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Failure {
    next_try: Moment,
    cause: String,
}

impl Backoff {
    /// Records the observed phases of the wanted units and returns those that have failed since the
    /// last call. Forgets all other units. Skips units that are `busy`: an action is in progress,
    /// so their phases may be outdated.
    pub(crate) fn observe(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        busy: impl Fn(Incarnation) -> bool,
        now: Moment,
    ) -> Vec<Incarnation> {
        self.rows.retain(|incarnation, _| {
            desired.units.get(incarnation).is_some_and(|unit| unit.wanted)
        });
        let wanted = desired.units.values().filter(|unit| unit.wanted);
        let idle = wanted.map(|unit| unit.incarnation).filter(|unit| !busy(*unit));
        idle.filter(|incarnation| {
            let phase = observed.get(incarnation).map(|unit| &unit.phase);
            self.observe_unit(*incarnation, phase, now)
        })
        .collect()
    }

    /// Records the phase of one unit. Returns true if that is a failure not counted before.
    fn observe_unit(
        &mut self,
        incarnation: Incarnation,
        phase: Option<&Phase>,
        now: Moment,
    ) -> bool {
        let row = self.rows.get(&incarnation);
        let counted = row.is_some_and(|row| row.failure.is_some());
        let cause = match phase {
            Some(Phase::Starting) => {
                self.started(incarnation);
                return false;
            }
            Some(Phase::Ready) => {
                self.started(incarnation);
                let row = self.rows.entry(incarnation).or_default();
                row.ready_since.get_or_insert(now.instant);
                return false;
            }
            _ if counted => return false,
            Some(Phase::Exited(exit)) => exit.to_string(),
            Some(Phase::Unresponsive) => UNRESPONSIVE.to_owned(),
            Some(Phase::Unhealthy(cause)) => cause.clone(),
            Some(Phase::Draining) => DRAINS.to_owned(),
            None if row.is_some() => DISAPPEARED.to_owned(),
            None => return false,
        };
        let served = row.and_then(|row| row.ready_since).map(|since| now.instant - since);
        let (recovery_time, replace_after) = match phase {
            Some(Phase::Unresponsive) => (KILL_AFTER, Some(KILL_AFTER + STUCK_AFTER)),
            // One that this process run of the agent sees for the first time served before.
            Some(Phase::Draining) if row.is_none() || served >= Some(REPLACED_AFTER) => {
                (Duration::ZERO, Some(Duration::ZERO))
            }
            _ => (Duration::ZERO, None),
        };
        self.record_failure(incarnation, cause, recovery_time, now);
        let row = self.rows.entry(incarnation).or_default();
        row.replace_at = replace_after.map(|after| now.instant + after);
        true
    }

    /// Records that a unit was started.
    pub(crate) fn started(&mut self, incarnation: Incarnation) {
        let row = self.rows.entry(incarnation).or_default();
        (row.failure, row.replace_at) = (None, None);
    }

    /// Records that a unit failed.
    pub(crate) fn failed(&mut self, incarnation: Incarnation, cause: String, now: Moment) {
        self.record_failure(incarnation, cause, Duration::ZERO, now);
    }

    /// Records a failure of a unit that is not started again within `recovery_time`.
    fn record_failure(
        &mut self,
        incarnation: Incarnation,
        cause: String,
        recovery_time: Duration,
        now: Moment,
    ) {
        let row = self.rows.entry(incarnation).or_default();
        let recovered =
            row.ready_since.take().is_some_and(|since| now.instant - since >= RESET_AFTER);
        row.failures = if recovered { 1 } else { row.failures.saturating_add(1) };
        let delay = delay(row.failures).max(recovery_time);
        let next_try = Moment {
            instant: now.instant + delay,
            wall: Timestamp(now.wall.0.saturating_add(millis(delay))),
        };
        let cause = cause.chars().take(limits::CAUSE_CHARS).collect();
        row.failure = Some(Failure { next_try, cause });
    }

    /// Time at which the unit may be started. `None` if it may be started now.
    pub(crate) fn next_try(&self, incarnation: Incarnation) -> Option<Instant> {
        let failure = self.rows.get(&incarnation)?.failure.as_ref()?;
        Some(failure.next_try.instant)
    }

    /// Time at which the log should replace the unit: its process has failed, but does not exit.
    pub(crate) fn replace_at(&self, incarnation: Incarnation) -> Option<Instant> {
        self.rows.get(&incarnation)?.replace_at
    }

    /// Status to report for a failed unit that waits for its next start.
    pub(crate) fn failure(&self, incarnation: Incarnation) -> Option<UnitStatus> {
        let row = self.rows.get(&incarnation)?;
        let Failure { next_try, cause } = row.failure.as_ref()?;
        let (restarts, next_try, cause) = (row.failures, next_try.wall, cause.clone());
        Some(UnitStatus::Failed { restarts, next_try, cause })
    }

    /// Time from which a ready unit is reported ready. `None` if it has not failed before.
    pub(crate) fn ready_after(&self, incarnation: Incarnation) -> Option<Instant> {
        let row = self.rows.get(&incarnation).filter(|row| row.failures > 0)?;
        row.ready_since.map(|since| since + delay(row.failures).min(MAX_PROBATION))
    }

    /// True if the unit has failed before.
    pub(crate) fn has_failed(&self, incarnation: Incarnation) -> bool {
        self.rows.get(&incarnation).is_some_and(|row| row.failures > 0)
    }
}

/// Returns the delay after that many consecutive failures.
fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    MIN_DELAY.saturating_mul(1 << doublings).min(MAX_DELAY)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Exit, ExitStatus};

    const UNIT: Incarnation = Incarnation(7);

    fn exited() -> Phase {
        Phase::Exited(Exit { status: ExitStatus::Code(1), output_tail: None })
    }

    fn later(now: &mut Moment, duration: Duration) -> Moment {
        now.instant += duration;
        now.wall = Timestamp(now.wall.0 + millis(duration));
        *now
    }

    fn restarts(backoff: &Backoff) -> Option<u32> {
        match backoff.failure(UNIT)? {
            UnitStatus::Failed { restarts, .. } => Some(restarts),
            UnitStatus::Busy | UnitStatus::Ready { .. } => None,
        }
    }

    #[test]
    fn delays_double_from_half_a_second_to_five_minutes() {
        let seconds: Vec<f64> = (1..=12).map(|failures| delay(failures).as_secs_f64()).collect();
        assert_eq!(
            seconds,
            [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
        );
        assert_eq!(delay(u32::MAX), MAX_DELAY);
    }

    #[test]
    fn an_exit_is_counted_once() {
        let (mut backoff, mut now) = (Backoff::default(), Moment::now());
        assert!(backoff.observe_unit(UNIT, Some(&exited()), now));
        let first = backoff.failure(UNIT);
        assert!(!backoff.observe_unit(UNIT, Some(&exited()), later(&mut now, MIN_DELAY)));
        assert_eq!(backoff.failure(UNIT), first);
        backoff.started(UNIT);
        assert_eq!(restarts(&backoff), None);
        assert!(backoff.observe_unit(UNIT, Some(&exited()), now));
        assert_eq!(restarts(&backoff), Some(2));
    }

    #[test]
    fn the_next_try_is_reported_in_wall_clock_time() {
        let (mut backoff, now) = (Backoff::default(), Moment::now());
        backoff.failed(UNIT, "no template".to_owned(), now);
        let expected = UnitStatus::Failed {
            restarts: 1,
            next_try: Timestamp(now.wall.0 + 500),
            cause: "no template".to_owned(),
        };
        assert_eq!(backoff.failure(UNIT), Some(expected));
        assert_eq!(backoff.next_try(UNIT), Some(now.instant + MIN_DELAY));
    }

    #[test]
    fn a_failure_after_a_long_ready_time_counts_as_the_first() {
        for (ready, expected) in [(RESET_AFTER, 1), (RESET_AFTER - Duration::from_secs(1), 3)] {
            let (mut backoff, mut now) = (Backoff::default(), Moment::now());
            for _ in 0..2 {
                backoff.failed(UNIT, String::new(), now);
            }
            backoff.started(UNIT);
            backoff.observe_unit(UNIT, Some(&Phase::Ready), now);
            backoff.observe_unit(UNIT, Some(&exited()), later(&mut now, ready));
            assert_eq!(restarts(&backoff), Some(expected), "ready for {ready:?}");
        }
    }

    #[test]
    fn a_unit_that_disappears_has_failed_and_one_never_seen_has_not() {
        let (mut backoff, now) = (Backoff::default(), Moment::now());
        assert!(!backoff.observe_unit(UNIT, None, now));
        backoff.observe_unit(UNIT, Some(&Phase::Ready), now);
        assert!(backoff.observe_unit(UNIT, None, now));
        assert!(!backoff.observe_unit(UNIT, None, now));
    }

    #[test]
    fn a_unit_is_reported_ready_immediately_unless_it_failed_before() {
        let (mut backoff, now) = (Backoff::default(), Moment::now());
        backoff.observe_unit(UNIT, Some(&Phase::Ready), now);
        assert_eq!(backoff.ready_after(UNIT), None);
        for (failures, probation) in [(1, MIN_DELAY), (9, MAX_PROBATION)] {
            for _ in 0..failures {
                backoff.failed(UNIT, String::new(), now);
            }
            backoff.observe_unit(UNIT, Some(&Phase::Ready), now);
            assert_eq!(backoff.ready_after(UNIT), Some(now.instant + probation));
        }
    }
}
