//! Minimizes a failing schedule by dropping faults while it still fails.

use super::schedule::Schedule;

/// Returns a smallest schedule that still `fails`, given one that does. Drops chunks of faults,
/// first halves, then ever smaller ones, until no single fault can be dropped (delta debugging:
/// Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
///
/// # Errors
/// The errors of `fails`.
pub async fn shrink(
    schedule: &Schedule,
    mut fails: impl AsyncFnMut(&Schedule) -> anyhow::Result<bool>,
) -> anyhow::Result<Schedule> {
    let mut smallest = schedule.clone();
    let mut size = smallest.faults.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut dropped = false;
        while at < smallest.faults.len() {
            let candidate = without(&smallest, at, size);
            if fails(&candidate).await? {
                (smallest, dropped) = (candidate, true);
            } else {
                at += size;
            }
        }
        // After a fault was dropped, one that was needed before may be droppable.
        if size > 1 || !dropped {
            size /= 2;
        }
    }
    Ok(smallest)
}

/// Returns the schedule without some faults, and shortens the load phase accordingly.
fn without(schedule: &Schedule, at: usize, size: usize) -> Schedule {
    let mut rest = schedule.clone();
    rest.faults.drain(at..(at + size).min(schedule.faults.len()));
    let ends = |faults: &Schedule| {
        faults
            .faults
            .iter()
            .map(|it| (it.at_ms + it.duration_ms).div_ceil(1_000))
            .max()
            .unwrap_or(0)
    };
    let after = schedule.load_seconds.saturating_sub(ends(schedule));
    rest.load_seconds = ends(&rest) + after;
    rest
}

#[cfg(test)]
mod tests {
    use super::super::schedule::Kind;
    use super::*;

    #[tokio::test]
    async fn only_the_faults_needed_to_fail_are_left() {
        let schedule = Schedule::generate(7, 4.0, 3, &Kind::all());
        let needed = [3, 11, 12].map(|at: usize| schedule.faults[at].clone());
        let mut runs = 0;
        let fails = async |candidate: &Schedule| {
            runs += 1;
            Ok(needed.iter().all(|fault| candidate.faults.contains(fault)))
        };
        let smallest = shrink(&schedule, fails).await.expect("no run fails");
        assert_eq!(smallest.faults, needed);
        assert!(smallest.load_seconds <= schedule.load_seconds);
        assert!(runs < 2 * schedule.faults.len(), "{runs} runs");
    }

    #[tokio::test]
    async fn a_schedule_that_always_fails_shrinks_to_no_faults() {
        let schedule = Schedule::generate(7, 4.0, 3, &Kind::all());
        let smallest = shrink(&schedule, async |_: &Schedule| Ok(true)).await;
        assert_eq!(smallest.expect("no run fails").faults, []);
    }
}
