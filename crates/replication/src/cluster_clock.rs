//! Clock of the cluster: the clock of this node, as far as a majority of the voters confirms it.
//!
//! Every voter asks the others for their clocks, so that a new leader knows them already. The time
//! of the cluster is that of this node, raised to what a majority has reached and lowered to what a
//! majority has not passed. With the clocks of all voters, that is their median; with those of less
//! than a majority, it is the clock of this node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use meridian_domain::{NodeId, Timestamp};
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::environment::Clock;
use crate::instance::Raft;
use crate::peer::links::Links;

/// Interval between two requests for the clock of a voter.
const INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a request. Half of it bounds the error of a measured clock.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Clock of the cluster. Cheap to clone; clones share the measurements.
#[derive(Clone)]
pub struct ClusterClock {
    node: NodeId,
    raft: Raft,
    links: Arc<Links>,
    own: Clock,
    measured: Arc<Mutex<BTreeMap<NodeId, Measurement>>>,
}

/// Clock of another voter at a moment. It advances by the monotonic clock of this node, so that a
/// step of this node's wall clock does not affect it.
#[derive(Debug, Clone, Copy)]
struct Measurement {
    time: Timestamp,
    at: Instant,
}

impl ClusterClock {
    pub(crate) fn new(node: NodeId, raft: Raft, links: Arc<Links>, own: Clock) -> Self {
        Self { node, raft, links, own, measured: Arc::default() }
    }

    /// Returns the time of the cluster.
    pub fn now(&self) -> Timestamp {
        let voters = self.voters();
        let others = self.times_of(&voters);
        confirmed(self.own.now(), others, voters.len())
    }

    /// Asks the other voters for their clocks, unless all are known already. Returns once they are,
    /// or every voter has responded or failed to. A majority is not enough: of two clocks that
    /// differ, neither is known to be wrong.
    pub(crate) async fn learn(&self) {
        let is_known = || {
            let voters = self.voters();
            let measured = self.measured();
            voters.iter().all(|voter| *voter == self.node || measured.contains_key(voter))
        };
        if !is_known() {
            self.requests().collect::<()>().await;
        }
    }

    /// Asks the other voters for their clocks periodically, until aborted.
    pub(crate) async fn run(self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_wrong = false;
        loop {
            ticks.tick().await;
            // Only voters lead.
            if !self.voters().contains(&self.node) {
                continue;
            }
            self.requests().collect::<()>().await;
            let (own, cluster) = (self.own.now(), self.now());
            let is_wrong = own.ahead_of(cluster).is_some() || cluster.ahead_of(own).is_some();
            if is_wrong && !was_wrong {
                let error_s = own.0.abs_diff(cluster.0) / 1_000;
                let direction = if own > cluster { "ahead" } else { "behind" };
                tracing::warn!(
                    error_s,
                    direction,
                    "the clock of this machine differs from those of the other voters; synchronize it"
                );
            }
            was_wrong = is_wrong;
        }
    }

    /// Returns one request to each other voter, concurrent with the others. Voters that do not
    /// respond keep their last measurement.
    fn requests(&self) -> FuturesUnordered<impl Future<Output = ()> + '_> {
        let others = self.voters().into_iter().filter(|voter| *voter != self.node);
        others.map(|voter| self.measure(voter)).collect()
    }

    async fn measure(&self, voter: NodeId) {
        let sent = Instant::now();
        let Ok(Ok(response)) = timeout(TIMEOUT, self.links.ping(voter)).await else { return };
        // The clock was read about half a round trip ago.
        let at = sent + sent.elapsed() / 2;
        let measurement = Measurement { time: Timestamp(response.time_ms), at };
        self.measured().insert(voter, measurement);
    }

    fn voters(&self) -> Vec<NodeId> {
        let metrics = self.raft.server_metrics();
        metrics.borrow_watched().membership_config.voter_ids().collect()
    }

    /// Returns the current times of the measured clocks, except that of this node.
    fn times_of(&self, voters: &[NodeId]) -> Vec<Timestamp> {
        let measured = self.measured();
        voters.iter().filter_map(|voter| measured.get(voter)).map(Measurement::now).collect()
    }

    fn measured(&self) -> MutexGuard<'_, BTreeMap<NodeId, Measurement>> {
        self.measured.lock().expect("no holder of this lock panics")
    }
}

impl Measurement {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.time.0.saturating_add(elapsed))
    }
}

/// Returns `own`, raised to what a majority of `voters` has reached and lowered to what a majority
/// has not passed. `others` are the known clocks of the other voters.
fn confirmed(own: Timestamp, others: Vec<Timestamp>, voters: usize) -> Timestamp {
    let mut known = others;
    known.push(own);
    known.sort_unstable();
    let majority = voters.max(known.len()) / 2 + 1;
    match known.len().checked_sub(majority) {
        Some(reached) => own.clamp(known[reached], known[majority - 1]),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(own: u64, others: &[u64], voters: usize) -> u64 {
        let others = others.iter().copied().map(Timestamp).collect();
        confirmed(Timestamp(own), others, voters).0
    }

    #[test]
    fn with_the_clocks_of_all_voters_the_time_is_their_median() {
        assert_eq!(time(900, &[100, 110], 3), 110, "own clock ahead");
        assert_eq!(time(0, &[100, 110], 3), 100, "own clock behind");
        assert_eq!(time(105, &[100, 900], 3), 105);
        assert_eq!(time(0, &[100, 110, 120, 900], 5), 110);
    }

    #[test]
    fn without_a_majority_that_contradicts_it_the_own_clock_is_used() {
        assert_eq!(time(900, &[], 1), 900, "a single voter");
        assert_eq!(time(900, &[], 3), 900, "less than a majority is known");
        assert_eq!(time(900, &[100], 3), 900, "one against one");
        assert_eq!(time(900, &[100, 110, 120], 5), 120, "three of five are known to be behind");
    }
}
