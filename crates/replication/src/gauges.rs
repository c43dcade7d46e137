//! What an operator's dashboard shows of Raft on this node.

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;

use crate::contact::Contact;
use crate::instance::Raft;

/// Between two looks: a dashboard asks less often.
const LOOK: Duration = Duration::from_secs(1);

/// Says what each metric of this module and the sequencer means.
pub fn describe() {
    describe_gauge!("meridian_raft_role", "1 for the role that this node has now.");
    describe_gauge!("meridian_raft_term", "Raft's current term.");
    describe_gauge!("meridian_raft_last_log_index", "The last entry of the Raft log.");
    describe_gauge!("meridian_raft_committed_index", "The last entry known to be committed.");
    describe_gauge!("meridian_raft_applied_index", "The last entry applied to the state.");
    describe_gauge!("meridian_raft_snapshot_index", "The last entry that the snapshot covers.");
    describe_gauge!("meridian_raft_voters", "Members whose votes count.");
    describe_gauge!(
        "meridian_raft_leader_contact_seconds",
        Unit::Seconds,
        "Since this node last heard of the leader, or as leader of a majority; -1 if never."
    );
    describe_gauge!("meridian_disk_free_bytes", Unit::Bytes, "Free on the data directory's disk.");
    describe_counter!("meridian_proposals_total", "Entries that this node proposed as leader.");
    describe_histogram!("meridian_proposal_changes", "Changes in one proposed entry.");
}

/// Keeps the gauges up to date until aborted.
pub(crate) async fn run(raft: Raft, contact: Contact) {
    loop {
        let metrics = raft.metrics().borrow_watched().clone();
        for (role, name) in [
            (ServerState::Leader, "leader"),
            (ServerState::Candidate, "candidate"),
            (ServerState::Follower, "follower"),
            (ServerState::Learner, "learner"),
        ] {
            let now = if metrics.state == role { 1.0 } else { 0.0 };
            gauge!("meridian_raft_role", "role" => name).set(now);
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
        // Asked here so that it is known since when this node leads.
        let _ = contact.of_members();
        let since = contact.age().map_or(-1.0, |age| age.as_secs_f64());
        gauge!("meridian_raft_leader_contact_seconds").set(since);
        tokio::time::sleep(LOOK).await;
    }
}
