//! Suspends this node while its disk does not respond.
//!
//! A sync that fails stops the node. One that hangs reports nothing, and Raft alone does not notice:
//! a leader commits with the syncs of its followers and keeps sending heartbeats, but cannot apply,
//! so every change ends without an outcome and nobody else is elected.
//!
//! ```text
//! sync in progress for `STALL_AFTER` --> transfer leadership, with a deadline --> suspended
//!                                                                                     |
//! takes part again <------------------------- the sync has completed <----------------+
//! ```
//!
//! The watch runs outside Raft's main task, which waits for the disk whenever it saves a vote. A
//! leadership transfer goes through that task, so it may never start. The other members then elect
//! a leader because the heartbeats stop.

use std::time::Duration;

use meridian_storage::log_store::LogStore;
use tokio::time::timeout;

use crate::instance::Raft;
use crate::membership::Membership;
use crate::suspension::Suspension;
use crate::timing::Timing;

/// Age of a sync in progress at which the disk counts as stalled. A busy disk takes a second for a
/// sync, and a throttled one several; each suspension of a leader costs an election. Longer than the
/// election of another leader takes, so that a suspension ends a longer stall than it causes.
pub const STALL_AFTER: Duration = Duration::from_secs(5);
/// Interval between checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Suspends and resumes this node.
pub(crate) struct DiskWatch {
    pub raft: Raft,
    pub log: LogStore,
    pub membership: Membership,
    pub timing: Timing,
    pub suspension: Suspension,
}

impl DiskWatch {
    /// Runs until aborted.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let busy_for = self.log.busy_for();
            metrics::gauge!("meridian_raft_log_busy_seconds").set(busy_for.as_secs_f64());
            match (busy_for >= STALL_AFTER, self.suspension.is_active()) {
                (true, false) => self.suspend(busy_for).await,
                (false, true) => self.resume(),
                (true, true) | (false, false) => {}
            }
        }
    }

    async fn suspend(&self, busy_for: Duration) {
        let cause =
            format!("the disk does not respond: a sync of the Raft log hangs for {busy_for:.1?}");
        let transfer_target = match self.raft.is_leader() {
            true => self.membership.transfer_target(|_| true),
            false => None,
        };
        tracing::error!(
            cause,
            transfer_target = transfer_target.map(|node| node.to_string()),
            "suspending this node until its disk responds; check the disk"
        );
        if let Some(target) = transfer_target {
            // Raft's main task may be waiting for the disk, and its queue may be full.
            let requested = self.membership.transfer_leadership(target);
            let _ = timeout(self.timing.election_max, requested).await;
        }
        self.suspension.set(Some(cause));
        // Neither heartbeats nor elections: both are caused by ticks.
        self.raft.runtime_config().tick(false);
    }

    fn resume(&self) {
        tracing::info!("the disk responds again: this node takes part again");
        self.suspension.set(None);
        self.raft.runtime_config().tick(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Profile;

    #[test]
    fn a_stall_is_longer_than_an_election() {
        for profile in [Profile::Lan, Profile::Wan] {
            assert!(STALL_AFTER > 3 * profile.timing().election_max);
        }
    }
}
