//! Metrics of Raft on this node.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;

use crate::contact::ContactTracker;
use crate::instance::Raft;

/// Interval between updates. Metrics are usually scraped less often.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// Registers the descriptions of the metrics of this crate.
pub fn describe_metrics() {
    describe_gauge!(
        "meridian_raft_role",
        "1 for the current Raft role of this node, 0 for the others."
    );
    describe_gauge!("meridian_raft_term", "Current Raft term.");
    describe_gauge!("meridian_raft_last_log_index", "Index of the last entry of the Raft log.");
    describe_gauge!(
        "meridian_raft_committed_index",
        "Index of the last entry known to be committed."
    );
    describe_gauge!("meridian_raft_applied_index", "Index of the last entry applied to the state.");
    describe_gauge!(
        "meridian_raft_snapshot_index",
        "Index of the last entry covered by the snapshot."
    );
    describe_gauge!("meridian_raft_voters", "Number of voters.");
    describe_gauge!(
        "meridian_raft_leader_contact_seconds",
        Unit::Seconds,
        "Time since the last contact with the leader; on the leader, with a majority; -1 if never."
    );
    describe_gauge!(
        "meridian_peer_round_trip_seconds",
        Unit::Seconds,
        "Median round-trip time from this agent to each other one."
    );
    describe_gauge!(
        "meridian_disk_free_bytes",
        Unit::Bytes,
        "Free space on the disk of the data directory."
    );
    describe_gauge!(
        "meridian_raft_log_busy_seconds",
        Unit::Seconds,
        "Age of the oldest sync or write of the Raft log in progress; 0 if there is none."
    );
    describe_counter!("meridian_proposals_total", "Entries proposed by this node as leader.");
    // A counter that first appears with the value 1 has no rate.
    counter!("meridian_proposals_total").increment(0);
    describe_histogram!("meridian_proposal_changes", "Number of changes in a proposed entry.");
}

/// Updates the gauges until aborted.
pub(crate) async fn run(raft: Raft, contact: ContactTracker) {
    loop {
        let metrics = raft.metrics().borrow_watched().clone();
        for (role, name) in [
            (ServerState::Leader, "leader"),
            (ServerState::Candidate, "candidate"),
            (ServerState::Follower, "follower"),
            (ServerState::Learner, "learner"),
        ] {
            let value = if metrics.state == role { 1.0 } else { 0.0 };
            gauge!("meridian_raft_role", "role" => name).set(value);
        }
        let index = |log: &Option<meridian_storage::raft::LogId>| {
            log.as_ref().map_or(0, |log| log.index) as f64
        };
        gauge!("meridian_raft_term").set(metrics.current_term as f64);
        gauge!("meridian_raft_last_log_index").set(metrics.last_log_index.unwrap_or(0) as f64);
        gauge!("meridian_raft_committed_index").set(index(&metrics.local_committed));
        gauge!("meridian_raft_applied_index").set(index(&metrics.last_applied));
        gauge!("meridian_raft_snapshot_index").set(index(&metrics.snapshot));
        gauge!("meridian_raft_voters").set(metrics.membership_config.voter_ids().count() as f64);
        // Called for its side effect: it records the first observation of each member.
        let _ = contact.members();
        let since = contact.since_leader_contact().map_or(-1.0, |age| age.as_secs_f64());
        gauge!("meridian_raft_leader_contact_seconds").set(since);
        tokio::time::sleep(UPDATE_INTERVAL).await;
    }
}
