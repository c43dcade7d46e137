//! How long a unit that failed waits before it is started again.
//!
//! The first pause is [`FIRST_PAUSE`]; each failure in a row doubles it, up to [`LONGEST_PAUSE`]. A
//! unit that answered for [`STABLE`] begins anew. The table is not stored: a new life of the agent
//! tries every unit at once.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meridian_domain::report::UnitStatus;
use meridian_domain::{Incarnation, Timestamp, limits};
use tokio::time::Instant;

use crate::desired::Desired;
use crate::driver::Phase;
use crate::observe::Observed;

/// After the first failure: a unit that was merely killed is back within a second.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// However often it failed: a cause that was mended is noticed within five minutes.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// A unit that answered for so long has recovered, and its next failure is the first again.
pub(crate) const STABLE: Duration = Duration::from_secs(10 * 60);
/// After a failure, a unit is reported ready once it has answered for as long as it paused, but at
/// most this: one that dies at once again then makes one event a pause instead of two.
pub(crate) const LONGEST_PROBATION: Duration = Duration::from_secs(5);

/// The cause of failure of a unit that left no other.
const VANISHED: &str = "it is gone, and this agent did not stop it";

/// The cause of failure of a unit that hangs. It is not started again: its process still is there,
/// and may go on.
const SILENT: &str = "it does not answer its control socket";

/// A point in time, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// What is waited by.
    pub(crate) instant: Instant,
    /// What people are told.
    pub(crate) wall: Timestamp,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), wall: Timestamp(millis(since_epoch)) }
    }
}

/// The units that this agent tries to run, and how that went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    rows: BTreeMap<Incarnation, Row>,
}

#[derive(Debug, Clone, Default)]
struct Row {
    /// Starts that failed in a row.
    failures: u32,
    /// When it was first seen to answer since its last start.
    answers_since: Option<Instant>,
    /// Its failure, if that was the last thing seen of it.
    waiting: Option<Waiting>,
}

#[derive(Debug, Clone)]
struct Waiting {
    next_try: Moment,
    cause: String,
}

impl Backoff {
    /// Takes in what is seen of the units that are to run, and returns those that have failed since.
    /// Forgets all others. Of units that are `busy`, what is seen may be of the past already.
    pub(crate) fn learn(
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
            self.learn_one(*incarnation, phase, now)
        })
        .collect()
    }

    /// Takes in how one unit is; whether that is a failure that was not counted yet.
    fn learn_one(&mut self, incarnation: Incarnation, phase: Option<&Phase>, now: Moment) -> bool {
        let row = self.rows.get(&incarnation);
        let counted = row.is_some_and(|row| row.waiting.is_some());
        let cause = match phase {
            Some(Phase::Exited(exit)) if !counted => exit.to_string(),
            None if row.is_some() && !counted => VANISHED.to_owned(),
            Some(Phase::Silent) if !counted => SILENT.to_owned(),
            Some(Phase::Exited(_) | Phase::Silent) | None => return false,
            Some(Phase::Starting | Phase::Draining) => {
                self.started(incarnation);
                return false;
            }
            Some(Phase::Ready) => {
                self.started(incarnation);
                let row = self.rows.entry(incarnation).or_default();
                row.answers_since.get_or_insert(now.instant);
                return false;
            }
        };
        self.failed(incarnation, cause, now);
        true
    }

    /// Notes that a unit was started.
    pub(crate) fn started(&mut self, incarnation: Incarnation) {
        self.rows.entry(incarnation).or_default().waiting = None;
    }

    /// Notes that a unit failed.
    pub(crate) fn failed(&mut self, incarnation: Incarnation, cause: String, now: Moment) {
        let row = self.rows.entry(incarnation).or_default();
        let recovered = row.answers_since.take().is_some_and(|since| now.instant - since >= STABLE);
        row.failures = if recovered { 1 } else { row.failures.saturating_add(1) };
        let pause = pause(row.failures);
        let next_try = Moment {
            instant: now.instant + pause,
            wall: Timestamp(now.wall.0.saturating_add(millis(pause))),
        };
        let cause = cause.chars().take(limits::CAUSE_CHARS).collect();
        row.waiting = Some(Waiting { next_try, cause });
    }

    /// When the unit may be started; none if at once.
    pub(crate) fn next_try(&self, incarnation: Incarnation) -> Option<Instant> {
        let waiting = self.rows.get(&incarnation)?.waiting.as_ref()?;
        Some(waiting.next_try.instant)
    }

    /// The unit's failure, if it waits because of one.
    pub(crate) fn failure(&self, incarnation: Incarnation) -> Option<UnitStatus> {
        let row = self.rows.get(&incarnation)?;
        let Waiting { next_try, cause } = row.waiting.as_ref()?;
        let (restarts, next_try, cause) = (row.failures, next_try.wall, cause.clone());
        Some(UnitStatus::Failed { restarts, next_try, cause })
    }

    /// When a unit that answers may be believed to have recovered; none if it never failed.
    pub(crate) fn believed_from(&self, incarnation: Incarnation) -> Option<Instant> {
        let row = self.rows.get(&incarnation).filter(|row| row.failures > 0)?;
        row.answers_since.map(|since| since + pause(row.failures).min(LONGEST_PROBATION))
    }

    /// Whether the unit has failed before.
    pub(crate) fn has_failed(&self, incarnation: Incarnation) -> bool {
        self.rows.get(&incarnation).is_some_and(|row| row.failures > 0)
    }
}

/// The pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
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
        Phase::Exited(Exit { how: ExitStatus::Code(1), last_words: None })
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
    fn pauses_double_from_half_a_second_to_five_minutes() {
        let seconds: Vec<f64> = (1..=12).map(|failures| pause(failures).as_secs_f64()).collect();
        assert_eq!(
            seconds,
            [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
        );
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn an_exit_is_counted_once_however_often_it_is_seen() {
        let (mut backoff, mut now) = (Backoff::default(), Moment::now());
        assert!(backoff.learn_one(UNIT, Some(&exited()), now));
        let first = backoff.failure(UNIT);
        assert!(!backoff.learn_one(UNIT, Some(&exited()), later(&mut now, FIRST_PAUSE)));
        assert_eq!(backoff.failure(UNIT), first);
        backoff.started(UNIT);
        assert_eq!(restarts(&backoff), None);
        assert!(backoff.learn_one(UNIT, Some(&exited()), now));
        assert_eq!(restarts(&backoff), Some(2));
    }

    #[test]
    fn people_are_told_by_the_clock_on_the_wall_when_the_next_try_is() {
        let (mut backoff, now) = (Backoff::default(), Moment::now());
        backoff.failed(UNIT, "no luck".to_owned(), now);
        let expected = UnitStatus::Failed {
            restarts: 1,
            next_try: Timestamp(now.wall.0 + 500),
            cause: "no luck".to_owned(),
        };
        assert_eq!(backoff.failure(UNIT), Some(expected));
        assert_eq!(backoff.next_try(UNIT), Some(now.instant + FIRST_PAUSE));
    }

    #[test]
    fn a_unit_that_answered_for_long_begins_anew_and_one_that_did_not_does_not() {
        for (answers, expected) in [(STABLE, 1), (STABLE - Duration::from_secs(1), 3)] {
            let (mut backoff, mut now) = (Backoff::default(), Moment::now());
            for _ in 0..2 {
                backoff.failed(UNIT, String::new(), now);
            }
            backoff.started(UNIT);
            backoff.learn_one(UNIT, Some(&Phase::Ready), now);
            backoff.learn_one(UNIT, Some(&exited()), later(&mut now, answers));
            assert_eq!(restarts(&backoff), Some(expected), "after {answers:?}");
        }
    }

    #[test]
    fn a_running_unit_that_is_gone_has_failed_and_one_never_seen_has_not() {
        let (mut backoff, now) = (Backoff::default(), Moment::now());
        assert!(!backoff.learn_one(UNIT, None, now));
        backoff.learn_one(UNIT, Some(&Phase::Ready), now);
        assert!(backoff.learn_one(UNIT, None, now));
        assert!(!backoff.learn_one(UNIT, None, now));
    }

    #[test]
    fn a_unit_is_believed_at_once_unless_it_failed_before() {
        let (mut backoff, now) = (Backoff::default(), Moment::now());
        backoff.learn_one(UNIT, Some(&Phase::Ready), now);
        assert_eq!(backoff.believed_from(UNIT), None);
        for (failures, probation) in [(1, FIRST_PAUSE), (9, LONGEST_PROBATION)] {
            for _ in 0..failures {
                backoff.failed(UNIT, String::new(), now);
            }
            backoff.learn_one(UNIT, Some(&Phase::Ready), now);
            assert_eq!(backoff.believed_from(UNIT), Some(now.instant + probation));
        }
    }
}
