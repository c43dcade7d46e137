//! The opened data directory of a stopped agent.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use error_reporter::Report;
use meridian_domain::{Address, Epoch, NodeId, State};
use meridian_durable::naming;
use meridian_storage::codec::is_newer;
use meridian_storage::disk::addresses::AddressOverrides;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError, Identity};
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::fuse::Fuse;
use meridian_storage::open::{self, Stores};
use meridian_storage::recovery::Contents;

use crate::client::Failure;

/// The data directory of a stopped agent, locked and opened.
pub struct Offline {
    /// Data directory.
    pub directory: DataDirectory,
    /// Cluster and node.
    pub identity: Identity,
    /// Epoch in the directory.
    pub epoch: LocalEpoch,
    /// Peer addresses given by an operator, including those no longer in effect.
    pub overrides: AddressOverrides,
    /// Contents of the Raft log.
    pub contents: Contents,
    /// Applied state.
    pub state: State,
    /// Opened stores.
    pub stores: Stores,
}

impl Offline {
    /// Locks and opens the data directory at `path`.
    ///
    /// # Errors
    /// If the agent is running, another user owns the directory, or it has no usable data.
    pub async fn open(path: &Path) -> Result<Self, Failure> {
        // Opening would create it.
        if !path.is_dir() {
            return Err(empty(format!("there is no data directory at {}", path.display())));
        }
        check_owner(path)?;
        let directory = DataDirectory::open(path).map_err(refused_directory)?;
        let identity = directory.identity().ok_or_else(|| {
            empty(format!("data directory {} belongs to no cluster", path.display()))
        })?;
        let epoch = directory.epoch().map_err(refused_directory)?;
        let overrides = directory.address_overrides().map_err(refused_directory)?;
        let stores = open::open(&directory, identity, &Fuse::default()).map_err(unusable)?;
        let contents = Contents::read(&stores).await.map_err(unusable)?;
        let state = stores.store.state().clone();
        Ok(Self { directory, identity, epoch, overrides, contents, state, stores })
    }

    /// Reads the directory again, after a change.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn refresh(&mut self) -> Result<(), Failure> {
        self.epoch = self.directory.epoch().map_err(refused_directory)?;
        self.overrides = self.directory.address_overrides().map_err(refused_directory)?;
        self.contents = Contents::read(&self.stores).await.map_err(unusable)?;
        Ok(())
    }

    /// Returns the highest epoch known: that of the directory, or that of the replicated state.
    pub fn highest_epoch(&self) -> Epoch {
        self.epoch.epoch.max(self.state.header.epoch)
    }

    /// Returns the name of the agent of a node, if it is registered.
    pub fn agent_of(&self, node: NodeId) -> Option<String> {
        let agents = self.state.agents.values();
        let mut names = agents.filter(|agent| agent.description.node == node);
        names.next().map(|agent| agent.description.name.to_string())
    }

    /// Returns the agent of a node, or else its id.
    pub fn name_of(&self, node: NodeId) -> String {
        self.agent_of(node).unwrap_or_else(|| node.to_string())
    }

    /// Returns the overridden peer addresses that are in effect.
    pub fn addresses_in_effect(&self) -> BTreeMap<NodeId, Address> {
        self.overrides.in_effect(&self.contents.members)
    }

    /// Closes the stores.
    ///
    /// # Errors
    /// If they cannot be closed durably.
    pub async fn close(self) -> Result<(), Failure> {
        self.stores.log.close().await.map_err(unusable)?;
        self.stores.store.close().await.map_err(unusable)
    }
}

/// Checks that this user owns the directory: the agent could not open files that another user
/// created in it.
fn check_owner(path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path).map_err(naming("read", path)).map_err(unusable)?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    Err(Failure::Refused {
        cause: format!(
            "data directory {} belongs to user {owner}, and this is user {user}",
            path.display()
        ),
        next: format!(
            "run the command as the user of the agent: sudo -u '#{owner}' meridian recover"
        ),
    })
}

fn empty(cause: String) -> Failure {
    Failure::Refused { cause, next: "name the data_dir of an agent with --data-dir".to_owned() }
}

/// Returns the failure for an error of the data directory.
pub fn refused_directory(error: DirectoryError) -> Failure {
    match error {
        DirectoryError::InUse { path, holder } => Failure::Refused {
            cause: format!(
                "data directory {} is in use by {}",
                path.display(),
                holder.map_or_else(|| "another process".to_owned(), describe)
            ),
            next: "stop that agent and run the command again; its units keep running".to_owned(),
        },
        other => unusable(other),
    }
}

/// Returns the process as `pid 7 (meridian agent --config agent.toml)`.
fn describe(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    match line.trim() {
        "" => format!("pid {pid}"),
        line => format!("pid {pid} ({line})"),
    }
}

/// Returns the failure for data that cannot be read or written.
pub fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    let next = match is_newer(&error) {
        true => "run the newer software on this data",
        false => "fix the cause and run the command again, or recover on another agent",
    };
    Failure::Refused { cause: Report::new(&error).to_string(), next: next.to_owned() }
}
