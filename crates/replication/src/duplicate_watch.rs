//! Stops this process if it runs on a copy of another agent's data directory.
//!
//! Two processes with one node id would count as one voter that votes twice, run each unit twice and
//! replace each other's reports. The other members find out (see [`crate::peer::introductions`]) and
//! refuse the younger process. It believes that only once it has found the older one itself, so no
//! message can stop a node.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_storage::fuse::Fuse;
use meridian_transport::Dialer;
use tokio::sync::watch;

use crate::peer::introductions::identify_as;
use crate::peer::process_run::ProcessRun;

/// Task that verifies refusals.
pub(crate) struct DuplicateWatch {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub process_run: ProcessRun,
    pub dialer: Dialer,
    /// Timeout of the dial and of the request.
    pub timeout: Duration,
    /// Address at which another member found the older process.
    pub reported: watch::Receiver<Option<Address>>,
    /// Set once the older process is found.
    pub found: watch::Sender<bool>,
    pub fuse: Fuse,
}

impl DuplicateWatch {
    /// Runs until the older process is found, or aborted.
    pub async fn run(mut self) {
        while self.reported.changed().await.is_ok() {
            let Some(address) = self.reported.borrow_and_update().clone() else { continue };
            if !self.is_older(&address).await {
                continue;
            }
            self.found.send_replace(true);
            return self.fuse.blow(format_args!(
                "an older process runs as this node at {address}: this data directory is a copy of \
                 that agent's; stop one of them, and give the other an empty data directory"
            ));
        }
    }

    async fn is_older(&self, address: &Address) -> bool {
        let Self { cluster, node, dialer, timeout, .. } = self;
        let own = self.process_run.identify();
        match identify_as(dialer, address, *timeout, *cluster, *node).await {
            Ok(peer) => peer.run.is_some_and(|run| run.id != own.id && run.age > own.age),
            Err(cause) => {
                tracing::debug!(cause, "refused as a duplicate of a process that was not found");
                false
            }
        }
    }
}
