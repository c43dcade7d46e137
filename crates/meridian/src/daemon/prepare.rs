//! Preparation of opened stores before Raft starts: completes a recovery that was interrupted, and
//! returns the epoch of this node and the addresses that an operator gave.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meridian_domain::{Address, NodeId};
use meridian_storage::disk::addresses::AddressOverrides;
use meridian_storage::disk::directory::DataDirectory;
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::open::Stores;
use meridian_storage::recovery::{self, Contents};

use super::error::AgentError;

/// Result of the preparation.
pub struct Prepared {
    /// Epoch of this node.
    pub epoch: LocalEpoch,
    /// Peer addresses that override those in the log.
    pub addresses: BTreeMap<NodeId, Address>,
    /// Peer address of this node in the log; `None` before it is a member.
    pub own_address: Option<Address>,
}

/// Prepares the opened stores of node `own`. May be repeated after a crash at any point.
///
/// # Errors
/// If the stores or the data directory fail.
pub async fn prepare(
    directory: &Mutex<DataDirectory>,
    stores: &Stores,
    own: NodeId,
) -> Result<Prepared, AgentError> {
    let (stored, overrides) = {
        let directory = lock(directory);
        (directory.epoch()?, directory.address_overrides()?)
    };
    let completed = recovery::complete(stored.clone(), stores, own).await;
    let mut epoch = completed.map_err(AgentError::Recover)?;
    if epoch != stored {
        lock(directory).store_epoch(&epoch)?;
        tracing::warn!(epoch = %epoch.epoch, "this agent is the only voter of the recovered cluster");
    }
    // The replicated epoch is higher only if the file was removed.
    epoch.epoch = epoch.epoch.max(stores.store.state().header.epoch);
    let contents = Contents::read(stores).await.map_err(AgentError::Recover)?;
    let addresses = overrides.in_effect(&contents.members);
    if addresses.is_empty() {
        lock(directory).store_address_overrides(&AddressOverrides::default())?;
    } else {
        tracing::info!(?addresses, "peer addresses given by an operator are in effect");
    }
    Ok(Prepared { epoch, addresses, own_address: contents.members.get(&own).cloned() })
}

/// Locks the data directory for one operation.
pub(super) fn lock(directory: &Mutex<DataDirectory>) -> MutexGuard<'_, DataDirectory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}
