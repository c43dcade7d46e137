//! What came of the calls, phase by phase.

use std::fmt;
use std::time::Duration;

use crate::load::{Counts, FailureKind};

use super::lanes::LaneCounts;
use super::phases::Phase;

/// What came of the calls, phase by phase.
#[derive(Debug, Default)]
pub struct Report {
    phases: Vec<Line>,
    lanes: Vec<(&'static str, Counts)>,
    all: Counts,
    excused: u64,
}

/// One phase.
#[derive(Debug)]
struct Line {
    phase: Phase,
    took: Duration,
    counts: Counts,
    /// Failures of calls that ran on a unit which was killed.
    excused: u64,
    /// What failed, lane by lane.
    failed: Vec<String>,
}

impl Report {
    /// Calls that were lost without an excuse.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.all.failed() - self.excused
    }

    pub(super) fn add(&mut self, phase: Phase, took: Duration, lanes: Vec<LaneCounts>) {
        let mut line =
            Line { phase, took, counts: Counts::default(), excused: 0, failed: Vec::new() };
        for lane in lanes {
            line.counts.add(&lane.counts);
            line.excused += excused(phase, &lane);
            if lane.counts.failed() > 0 {
                line.failed.push(format!("  {}: {}", lane.name, lane.counts));
            }
            match self.lanes.iter_mut().find(|(name, _)| *name == lane.name) {
                Some((_, counts)) => counts.add(&lane.counts),
                None => self.lanes.push((lane.name, lane.counts)),
            }
        }
        self.all.add(&line.counts);
        self.excused += line.excused;
        self.phases.push(line);
    }

    /// The newest phase, in a line, with what failed in it.
    pub(super) fn last(&self) -> String {
        self.phases.last().map_or_else(String::new, Line::to_string)
    }
}

/// How many failures of a phase in which a unit was killed are those of calls that ran on it: as
/// many were cut as can have run at a time, and by the end of a connection alone.
fn excused(phase: Phase, lane: &LaneCounts) -> u64 {
    if phase.kills_in() != Some(lane.region) {
        return 0;
    }
    let cut = [FailureKind::Reset, FailureKind::CutBody].map(|kind| lane.counts.failed_by(kind));
    cut.iter().sum::<u64>().min(lane.at_once)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, took, counts, excused, failed } = self;
        write!(f, "{phase:<16} {:>5.1} s  {}", took.as_secs_f64(), row(counts, *excused))?;
        for lane in failed {
            write!(f, "\n{lane}")?;
        }
        Ok(())
    }
}

/// The table of the phases, then that of the lanes.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = "requests  failed excused  silent       p50       p99       max   units";
        writeln!(f, "{:<16} {:>7}  {columns}", "phase", "")?;
        for line in &self.phases {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{:<16} {:>7}  {}\n", "all", "", row(&self.all, self.excused))?;
        for (name, counts) in &self.lanes {
            let Counts { opened, announced_closes, silent_closes, given_back, .. } = counts;
            let (requests, failed) = (counts.requests(), counts.failed());
            writeln!(
                f,
                "{name:<26} {requests:>8} requests {failed:>4} failed  p99 {:>8.1?}  \
                 {opened} connections, closed between requests: {announced_closes} announced, \
                 {silent_closes} not; {given_back} calls given back",
                counts.percentile(99.0)
            )?;
        }
        Ok(())
    }
}

fn row(counts: &Counts, excused: u64) -> String {
    let times = [counts.percentile(50.0), counts.percentile(99.0), counts.max()];
    let [p50, p99, max] = times.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1_000.0));
    format!(
        "{:>8} {:>7} {excused:>7} {:>7} {p50:>9} {p99:>9} {max:>9} {:>7}",
        counts.requests(),
        counts.failed(),
        counts.silent_closes,
        counts.units.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Failure;

    fn lane(region: usize, failures: &[FailureKind]) -> LaneCounts {
        let mut counts = Counts::default();
        for kind in failures {
            counts.failure(Failure { kind: *kind, seen: String::new() });
        }
        LaneCounts { name: "lane", region, at_once: 2, counts }
    }

    #[test]
    fn only_calls_that_ran_on_a_killed_unit_are_excused() {
        use FailureKind::{CutBody, Refused, Reset};
        let lost = |phase, region, failures: &[FailureKind]| {
            let mut report = Report::default();
            report.add(phase, Duration::ZERO, vec![lane(region, failures)]);
            report.lost()
        };
        assert_eq!(lost(Phase::KillUnit, 0, &[Reset, CutBody]), 0);
        assert_eq!(lost(Phase::KillUnit, 0, &[Reset, CutBody, Reset]), 1, "more than ran");
        assert_eq!(lost(Phase::KillUnit, 0, &[Refused]), 1, "nobody accepted it");
        assert_eq!(lost(Phase::KillUnit, 1, &[Reset]), 1, "another region");
        assert_eq!(lost(Phase::KillAgent, 0, &[Reset]), 1, "no unit was killed");
    }
}
