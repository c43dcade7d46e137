//! The latest report of each prober, and the votes that the leader counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use meridian_domain::reachability::votes::{Observations, VoteCount};
use meridian_domain::{NodeId, limits};
use meridian_ports::ProbeReport;
use tokio::time::Instant;

use crate::timing::Timing;

/// Reports of the probers. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct ProbeReports {
    /// Time for which a prober must have reported before it has a vote.
    window: Duration,
    /// Age of a report above which its prober is silent.
    max_age: Duration,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// At most one for each agent.
    received: BTreeMap<NodeId, Received>,
    votes: Vec<VoteCount>,
}

struct Received {
    report: ProbeReport,
    at: Instant,
    /// Time since which the prober was never silent.
    since: Instant,
}

impl ProbeReports {
    pub(super) fn new(timing: &Timing) -> Self {
        let (window, max_age) = (timing.probe_window, timing.max_probe_report_age());
        Self { window, max_age, shared: Arc::default() }
    }

    /// Records a report. One that was overtaken by a later one is ignored.
    pub(super) fn record(&self, prober: NodeId, report: ProbeReport, now: Instant) {
        let received = &mut self.shared().received;
        received.retain(|_, known| now.duration_since(known.at) <= self.max_age);
        let known = received.get(&prober);
        let is_overtaken = known.is_some_and(|known| known.report.number > report.number);
        if is_overtaken || known.is_none() && received.len() >= limits::AGENTS {
            return;
        }
        let since = known.map_or(now, |known| known.since);
        received.insert(prober, Received { report, at: now, since });
    }

    /// Returns the observations of the probers that have a vote.
    pub(super) fn voting(&self, now: Instant) -> BTreeMap<NodeId, Observations> {
        let shared = self.shared();
        let voting = shared.received.iter().filter(|(_, known)| {
            now.duration_since(known.at) <= self.max_age
                && known.at.duration_since(known.since) >= self.window
        });
        voting.map(|(node, known)| (*node, known.report.observations.clone())).collect()
    }

    /// Removes all reports and votes.
    pub(super) fn clear(&self) {
        *self.shared() = Shared::default();
    }

    /// Replaces the votes.
    pub(super) fn set_votes(&self, votes: Vec<VoteCount>) {
        self.shared().votes = votes;
    }

    /// Returns the votes as counted last.
    pub(super) fn votes(&self) -> Vec<VoteCount> {
        self.shared().votes.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Profile;

    const PROBER: NodeId = NodeId(1);

    fn report(number: u64) -> ProbeReport {
        ProbeReport { number, observations: Observations::new() }
    }

    #[test]
    fn a_prober_votes_after_a_window_of_reports_without_a_gap() {
        let timing = Profile::Lan.timing();
        let reports = ProbeReports::new(&timing);
        let (started, interval) = (Instant::now(), timing.probe_report_interval());
        let votes = |at: Instant| reports.voting(at).contains_key(&PROBER);
        for number in 0..4 {
            let now = started + interval * number;
            reports.record(PROBER, report(number.into()), now);
            assert!(!votes(now), "report {number}");
        }
        let voting = started + timing.probe_window;
        reports.record(PROBER, report(4), voting);
        assert!(votes(voting));
        assert!(votes(voting + timing.max_probe_report_age()));
        let silent = voting + timing.max_probe_report_age() + Duration::from_millis(1);
        assert!(!votes(silent));
        reports.record(PROBER, report(5), silent);
        assert!(!votes(silent), "a gap starts the window over");
    }

    #[test]
    fn a_report_that_arrives_after_a_later_one_is_ignored() {
        let timing = Profile::Lan.timing();
        let reports = ProbeReports::new(&timing);
        let now = Instant::now();
        reports.record(PROBER, report(2), now);
        let late = now + timing.probe_report_interval();
        reports.record(PROBER, report(1), late);
        assert_eq!(reports.shared().received[&PROBER].at, now);
        // A prober that restarted begins with the first number again.
        let restarted = now + timing.max_probe_report_age() * 2;
        reports.record(PROBER, report(1), restarted);
        assert_eq!(reports.shared().received[&PROBER].at, restarted);
    }
}
