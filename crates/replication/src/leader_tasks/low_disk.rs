//! Transfer of leadership away from a node whose disk is nearly full.
//!
//! A leader below its minimum of free space refuses changes, although the disks of a majority may
//! have enough. It asks the other voters for their free space, and transfers leadership to one that
//! can write. If none can, it keeps leading: commands that free space pass.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use meridian_domain::NodeId;
use meridian_ports::DiskSpace;
use tokio::time::{Instant, timeout};

use super::LeaderTasks;
use super::transfer_backoff::TransferBackoff;
use crate::last_failure::LastFailure;
use crate::members::disk_space;

/// Timeout of a request for the free space of a voter.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval between searches for a voter that can write.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// Searches for a voter that can write.
#[derive(Debug, Default)]
pub(super) struct Searches {
    next: Option<Instant>,
    last_failure: LastFailure,
}

impl LeaderTasks {
    /// Transfers leadership if the disk of this node is below its minimum and another voter can
    /// write. Returns true if it requested a transfer.
    ///
    /// # Errors
    /// If Raft has stopped.
    pub(super) async fn leave_low_disk(
        &self,
        searches: &mut Searches,
        backoff: &mut TransferBackoff,
    ) -> Result<bool, String> {
        let now = Instant::now();
        let due = searches.next.is_none_or(|next| now >= next);
        if !self.space.is_below_minimum() || !due || !backoff.allows_attempt(now) {
            return Ok(false);
        }
        searches.next = Some(now + SEARCH_INTERVAL);
        let can_write = self.voters_that_can_write().await;
        let target = self.membership.transfer_target(|node| can_write.contains(&node));
        let found = target.ok_or_else(|| "no other reachable voter has enough space".to_owned());
        if let Some(cause) = searches.last_failure.record(found.map(drop)) {
            tracing::warn!(cause, "the disk is nearly full, and this node leads");
        }
        let Some(target) = target else { return Ok(false) };
        tracing::warn!(%target, "the disk is nearly full: transferring leadership");
        backoff.record_attempt(now);
        let requested = self.membership.transfer_leadership(target).await;
        requested.map(|()| true).map_err(|error| error.to_string())
    }

    async fn voters_that_can_write(&self) -> BTreeSet<NodeId> {
        let members = self.links.members().into_iter();
        let requests =
            members.filter(|(node, _)| self.membership.is_voter(*node)).map(async |(node, _)| {
                let response = timeout(REQUEST_TIMEOUT, self.links.position(node)).await;
                let disk = disk_space(&response.ok()?.ok()?);
                // A voter that measures nothing refuses nothing.
                let can_write = !disk.is_some_and(DiskSpace::is_below_minimum);
                can_write.then_some(node)
            });
        join_all(requests).await.into_iter().flatten().collect()
    }
}
