//! Keeps what this node knows of the other members current: their addresses and its connections to
//! them, and measures the round trips.
//!
//! Connections between voters are opened before they are needed. Otherwise an election would have to
//! dial first, on a slow link for longer than the election itself takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use meridian_domain::NodeId;
use meridian_ports::MedianRoundTrips;
use meridian_storage::store::Store;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::instance::Raft;
use crate::peer::introductions::Introductions;
use crate::peer::links::Links;
use crate::peer::pool::Lane;
use crate::timing::Timing;

/// Interval between rounds.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of round trips whose median counts.
const SAMPLES: usize = 15;

/// Task that watches the other members.
pub(crate) struct MemberWatch {
    pub node: NodeId,
    pub raft: Raft,
    pub store: Store,
    pub links: Arc<Links>,
    pub introductions: Introductions,
    pub timing: Timing,
    /// Receives the median round trips.
    pub medians: watch::Sender<MedianRoundTrips>,
}

impl MemberWatch {
    /// Runs until aborted.
    pub async fn run(self) {
        let mut round_trips = RoundTrips::default();
        loop {
            let members = self.update_addresses();
            self.warm();
            let others: Vec<_> = members.into_iter().filter(|node| *node != self.node).collect();
            let pings = join_all(others.into_iter().map(|node| self.ping(node))).await;
            round_trips.record(pings);
            self.publish(&mut round_trips);
            sleep(INTERVAL).await;
        }
    }

    /// Copies the addresses of the members from the log, and forgets former members. An agent that
    /// is registered counts, also before it is a member of Raft.
    fn update_addresses(&self) -> BTreeSet<NodeId> {
        let mut members = BTreeMap::from_iter(self.links.members());
        {
            let state = self.store.state();
            let agents = state.agents.values().map(|agent| &agent.description);
            members.extend(agents.map(|agent| (agent.node, agent.peer_address.clone())));
        }
        for (node, address) in &members {
            self.links.pool().book().record_logged(*node, address);
        }
        let members = members.into_keys().collect();
        self.links.pool().book().retain(&members);
        self.links.pool().retain(&members);
        members
    }

    /// Opens the connections that an election and a new leader need.
    fn warm(&self) {
        let membership = self.raft.server_metrics().borrow_watched().membership_config.clone();
        if membership.voter_ids().any(|voter| voter == self.node) {
            for voter in membership.voter_ids().filter(|voter| *voter != self.node) {
                self.links.pool().warm(voter, Lane::Control);
                self.links.pool().warm(voter, Lane::Append);
            }
        }
    }

    /// Measures the round trip to a member; `None` without a response. The request also introduces
    /// this node, in case it moved and its leader does not know where.
    async fn ping(&self, node: NodeId) -> (NodeId, Option<Duration>) {
        // The first request on a connection would measure the dial.
        if self.links.pool().connection(node, Lane::Request).await.is_err() {
            return (node, None);
        }
        // The next leader may be any of them, and the next command should not wait for a stream.
        let _ = timeout(self.timing.silence, self.links.proposal_stream(node)).await;
        let sent = Instant::now();
        let response = timeout(self.timing.silence, self.links.ping(node)).await;
        let elapsed = sent.elapsed();
        let Ok(Ok(response)) = response else { return (node, None) };
        self.introductions.record_addresses(self.node, &response.members);
        (node, Some(elapsed))
    }

    /// Publishes the round trips, and warns while that to a voter is too long. Those of a node
    /// without a vote delay no election.
    fn publish(&self, round_trips: &mut RoundTrips) {
        let membership = self.raft.server_metrics().borrow_watched().membership_config.clone();
        let voters: BTreeSet<_> = membership.voter_ids().collect();
        let (mut medians, limit) = (BTreeMap::new(), self.timing.max_round_trip);
        let state = self.store.state();
        for agent in state.agents.values().map(|agent| &agent.description) {
            let Some(median) = round_trips.median(agent.node) else { continue };
            medians.insert(agent.node, median);
            let name = agent.name.to_string();
            metrics::gauge!("meridian_peer_round_trip_seconds", "agent" => name)
                .set(median.as_secs_f64());
            let both_vote = voters.contains(&self.node) && voters.contains(&agent.node);
            let is_long = both_vote && median > limit;
            if !round_trips.changes(agent.node, is_long) {
                continue;
            }
            if is_long {
                tracing::warn!(
                    agent = %agent.name, ?median, ?limit,
                    "the round trip to a voter is above the maximum of the network profile: \
                     elections may not end; use network = \"wan\" on all agents, or drain that agent"
                );
            } else {
                tracing::info!(agent = %agent.name, ?median, ?limit, "the round trip is short again");
            }
        }
        self.medians.send_replace(MedianRoundTrips { medians, limit });
    }
}

/// Latest round trips to each member.
#[derive(Default)]
struct RoundTrips {
    samples: BTreeMap<NodeId, VecDeque<Duration>>,
    /// Members about which was warned.
    long: BTreeSet<NodeId>,
}

impl RoundTrips {
    /// Records a round; members that are not in it are forgotten.
    fn record(&mut self, round: Vec<(NodeId, Option<Duration>)>) {
        let mut samples = BTreeMap::new();
        for (node, round_trip) in round {
            let mut latest = self.samples.remove(&node).unwrap_or_default();
            latest.extend(round_trip);
            if latest.len() > SAMPLES {
                latest.pop_front();
            }
            samples.insert(node, latest);
        }
        self.samples = samples;
        self.long.retain(|node| self.samples.contains_key(node));
    }

    /// Returns the median, or `None` before there are enough round trips for one.
    fn median(&self, node: NodeId) -> Option<Duration> {
        let mut sorted = Vec::from(self.samples.get(&node)?.clone());
        sorted.sort_unstable();
        (sorted.len() >= SAMPLES / 2).then(|| sorted[sorted.len() / 2])
    }

    /// Records whether the round trip is long. Returns true if that is new.
    fn changes(&mut self, node: NodeId, is_long: bool) -> bool {
        if is_long { self.long.insert(node) } else { self.long.remove(&node) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    #[test]
    fn the_median_ignores_outliers_and_needs_enough_round_trips() {
        let ms = Duration::from_millis;
        let mut round_trips = RoundTrips::default();
        for sample in [900, 10, 12, 11, 10, 11] {
            round_trips.record(vec![(NODE, Some(ms(sample)))]);
            assert_eq!(round_trips.median(NODE), None);
        }
        round_trips.record(vec![(NODE, None)]);
        assert_eq!(round_trips.median(NODE), None, "a missing response is no round trip");
        round_trips.record(vec![(NODE, Some(ms(11)))]);
        assert_eq!(round_trips.median(NODE), Some(ms(11)));
        for _ in 0..SAMPLES {
            round_trips.record(vec![(NODE, Some(ms(400)))]);
        }
        assert_eq!(round_trips.median(NODE), Some(ms(400)));
        assert!(round_trips.changes(NODE, true) && !round_trips.changes(NODE, true));
        round_trips.record(Vec::new());
        assert_eq!(round_trips.median(NODE), None, "no longer a member");
    }
}
