//! Detection that this process runs on a copy of another agent's data directory.
//!
//! Two processes with one node id would count as one voter that votes twice, run each unit twice and
//! replace each other's reports. Before it acts, a process looks for another one at the address that
//! the log has for its node. Later, the other members find out (see `peer::introductions`)
//! and refuse the younger process. It believes that only once it has found the older one itself, so
//! no message can stop a node.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_storage::fuse::Fuse;
use meridian_transport::Dialer;
use tokio::sync::watch;

use crate::peer::introductions::identify_as;
use crate::peer::process_run::ProcessRun;

/// An older process has the node id of this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an older process runs as this node at {address}: this data directory is a copy of that agent's; \
     stop one of them, and give the other an empty data directory"
)]
pub struct IsDuplicate {
    /// Peer address of the older process.
    pub address: Address,
}

/// Search for an older process with the node id of this one.
#[derive(Clone)]
pub struct DuplicateCheck {
    /// Cluster of the node.
    pub cluster: ClusterId,
    /// Node id.
    pub node: NodeId,
    /// This run of the process.
    pub process_run: ProcessRun,
    /// Opens the connection.
    pub dialer: Dialer,
    /// Timeout of the dial and of the request, each.
    pub timeout: Duration,
}

impl DuplicateCheck {
    /// Looks for the older process at one peer address. Finds none if nothing responds there.
    ///
    /// # Errors
    /// If it is there.
    pub async fn check(&self, address: &Address) -> Result<(), IsDuplicate> {
        let Self { cluster, node, process_run, dialer, timeout } = self;
        let own = process_run.identify();
        match identify_as(dialer, address, *timeout, *cluster, *node).await {
            Ok(peer) if peer.run.is_some_and(|run| run.id != own.id && run.age > own.age) => {
                Err(IsDuplicate { address: address.clone() })
            }
            Ok(_) => Ok(()),
            Err(cause) => {
                tracing::debug!(cause, "no other process with this node id was found");
                Ok(())
            }
        }
    }
}

/// Task that verifies refusals.
pub(crate) struct DuplicateWatch {
    pub check: DuplicateCheck,
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
            if let Err(is_duplicate) = self.check.check(&address).await {
                self.found.send_replace(true);
                return self.fuse.blow(is_duplicate);
            }
        }
    }
}
