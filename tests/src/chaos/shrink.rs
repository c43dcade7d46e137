//! Makes a failing schedule smaller: drops faults for as long as it still fails.

use super::schedule::Schedule;

/// The least schedule found that still `fails`, which the given one does. Parts of the faults are left
/// out, first halves, then ever smaller ones, until no single one can be (delta debugging: Zeller and
/// Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
///
/// # Errors
/// As `fails`.
pub async fn shrink(
    schedule: &Schedule,
    mut fails: impl AsyncFnMut(&Schedule) -> anyhow::Result<bool>,
) -> anyhow::Result<Schedule> {
    let mut least = schedule.clone();
    let mut size = least.faults.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut dropped = false;
        while at < least.faults.len() {
            let candidate = without(&least, at, size);
            if fails(&candidate).await? {
                (least, dropped) = (candidate, true);
            } else {
                at += size;
            }
        }
        // One that could not go before may go now that another one is gone.
        if size > 1 || !dropped {
            size /= 2;
        }
    }
    Ok(least)
}

/// The schedule without some faults, and without the time that passes after the last one left.
fn without(schedule: &Schedule, at: usize, size: usize) -> Schedule {
    let mut rest = schedule.clone();
    rest.faults.drain(at..(at + size).min(schedule.faults.len()));
    let ends = |faults: &Schedule| {
        faults.faults.iter().map(|it| (it.at_ms + it.lasts_ms).div_ceil(1_000)).max().unwrap_or(0)
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
    async fn what_is_left_is_what_it_takes_to_fail() {
        let schedule = Schedule::generate(7, 4.0, 3, &Kind::all());
        let needed = [3, 11, 12].map(|at: usize| schedule.faults[at].clone());
        let mut runs = 0;
        let fails = async |candidate: &Schedule| {
            runs += 1;
            Ok(needed.iter().all(|fault| candidate.faults.contains(fault)))
        };
        let least = shrink(&schedule, fails).await.expect("nothing goes wrong");
        assert_eq!(least.faults, needed);
        assert!(least.load_seconds <= schedule.load_seconds);
        assert!(runs < 2 * schedule.faults.len(), "{runs} runs");
    }

    #[tokio::test]
    async fn what_fails_without_any_fault_needs_none() {
        let schedule = Schedule::generate(7, 4.0, 3, &Kind::all());
        let least = shrink(&schedule, async |_: &Schedule| Ok(true)).await;
        assert_eq!(least.expect("nothing goes wrong").faults, []);
    }
}
