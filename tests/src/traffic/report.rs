//! Results of the requests by phase.

use std::fmt;
use std::time::Duration;

use crate::load::{Counts, FailureKind};

use super::phases::Phase;
use super::workloads::WorkloadCounts;

/// Results of the requests by phase.
#[derive(Debug, Default)]
pub struct Report {
    phases: Vec<Line>,
    workloads: Vec<(&'static str, Counts)>,
    all: Counts,
    excused: u64,
}

/// Results of one phase.
#[derive(Debug)]
struct Line {
    phase: Phase,
    elapsed: Duration,
    counts: Counts,
    /// Failed requests that were in flight on killed units, or sent to them by an old address.
    excused: u64,
    /// Workloads with failures.
    failed: Vec<String>,
}

impl Report {
    /// Returns the number of lost requests that are not excused.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.all.failed() - self.excused
    }

    pub(super) fn add(&mut self, phase: Phase, elapsed: Duration, workloads: Vec<WorkloadCounts>) {
        let mut line =
            Line { phase, elapsed, counts: Counts::default(), excused: 0, failed: Vec::new() };
        for workload in workloads {
            line.counts.add(&workload.counts);
            line.excused += excused(phase, &workload);
            if workload.counts.failed() > 0 {
                line.failed.push(format!("  {}: {}", workload.name, workload.counts));
            }
            match self.workloads.iter_mut().find(|(name, _)| *name == workload.name) {
                Some((_, counts)) => counts.add(&workload.counts),
                None => self.workloads.push((workload.name, workload.counts)),
            }
        }
        self.all.add(&line.counts);
        self.excused += line.excused;
        self.phases.push(line);
    }

    /// Formats the latest phase and its failures.
    pub(super) fn last(&self) -> String {
        self.phases.last().map_or_else(String::new, Line::to_string)
    }
}

/// Returns the number of failures caused by killing units: broken connections, at most as many as the
/// workload has concurrent requests, and refused ones of clients with an old address.
fn excused(phase: Phase, workload: &WorkloadCounts) -> u64 {
    if phase.killed_region() != Some(workload.region) {
        return 0;
    }
    let failed = |kind| workload.counts.failed_by(kind);
    let cut = failed(FailureKind::Reset) + failed(FailureKind::TruncatedBody);
    let refused = if phase.may_refuse() { failed(FailureKind::Refused) } else { 0 };
    cut.min(workload.concurrency) + refused
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, elapsed, counts, excused, failed } = self;
        write!(f, "{phase:<16} {:>5.1} s  {}", elapsed.as_secs_f64(), row(counts, *excused))?;
        for workload in failed {
            write!(f, "\n{workload}")?;
        }
        Ok(())
    }
}

/// The table of phases, followed by the table of workloads.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = "requests  failed excused unannounced       p50       p99       max   units";
        writeln!(f, "{:<16} {:>7}  {columns}", "phase", "")?;
        for line in &self.phases {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{:<16} {:>7}  {}\n", "all", "", row(&self.all, self.excused))?;
        for (name, counts) in &self.workloads {
            let Counts { opened, announced_closes, unannounced_closes, unprocessed, .. } = counts;
            let (requests, failed) = (counts.requests(), counts.failed());
            writeln!(
                f,
                "{name:<26} {requests:>8} requests {failed:>4} failed  p99 {:>8.1?}  \
                 {opened} connections, closed between requests: {announced_closes} announced, \
                 {unannounced_closes} unannounced; {unprocessed} unprocessed",
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
        "{:>8} {:>7} {excused:>7} {:>11} {p50:>9} {p99:>9} {max:>9} {:>7}",
        counts.requests(),
        counts.failed(),
        counts.unannounced_closes,
        counts.units.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Failure;

    fn workload(region: usize, failures: &[FailureKind]) -> WorkloadCounts {
        let mut counts = Counts::default();
        for kind in failures {
            counts.failure(Failure { kind: *kind, detail: String::new() });
        }
        WorkloadCounts { name: "workload", region, concurrency: 2, counts }
    }

    #[test]
    fn only_requests_to_killed_units_are_excused() {
        use FailureKind::{Refused, Reset, TruncatedBody};
        let lost = |phase, region, failures: &[FailureKind]| {
            let mut report = Report::default();
            report.add(phase, Duration::ZERO, vec![workload(region, failures)]);
            report.lost()
        };
        assert_eq!(lost(Phase::KillUnit, 0, &[Reset, TruncatedBody]), 0);
        assert_eq!(
            lost(Phase::KillUnit, 0, &[Reset, TruncatedBody, Reset]),
            1,
            "more than were in flight"
        );
        assert_eq!(lost(Phase::KillUnit, 0, &[Refused]), 1, "the connection was refused");
        assert_eq!(lost(Phase::KillUnit, 1, &[Reset]), 1, "another region");
        assert_eq!(lost(Phase::KillAgent, 0, &[Reset]), 1, "no unit was killed");
        assert_eq!(lost(Phase::KillRegion, 1, &[Refused, Refused, Refused, Reset]), 0);
        assert_eq!(lost(Phase::LoseRegion, 1, &[Refused]), 1, "the name has another address");
    }
}
