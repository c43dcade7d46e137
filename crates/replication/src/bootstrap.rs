//! Bootstrapping a cluster, by one agent that is configured with the peer addresses of all initial
//! members.
//!
//! The agent waits until all initial members are reachable and admits each to the new cluster,
//! which is durable on a member before it responds. Then it initializes Raft with all of them at
//! once, so that the first acknowledged change is on a majority. Every step may be repeated after a
//! crash. The bootstrap fails if a member already belongs to another cluster. An agent with an
//! emptied disk therefore never bootstraps its cluster a second time.

use std::collections::BTreeMap;
use std::time::Duration;

use error_reporter::Report;
use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_storage::raft::Member;
use meridian_transport::Dialer;
use openraft::errors::{InitializeError, RaftError};
use uuid::Uuid;

use crate::instance::Raft;
use crate::peer::meeting::{Admission, Lobby, PeerInfo, admit, identify};

/// Delay before unreachable members are tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Timeout of each request to a member.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Error of a bootstrap.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A member belongs to a cluster that this agent does not belong to.
    #[error(
        "bootstrap peer {address} ({name}) already belongs to cluster {cluster}; {}",
        instead(*.bootstrapping)
    )]
    AlreadyBootstrapped {
        /// Peer address of the member.
        address: Address,
        /// Name of the member.
        name: String,
        /// Cluster of the member.
        cluster: ClusterId,
        /// True if this agent started to bootstrap a cluster, which its data directory belongs to.
        bootstrapping: bool,
    },
    /// Two addresses belong to one agent, or to two agents with the same name.
    #[error("bootstrap peers {first} and {second} are both agent {name}")]
    DuplicateAgent {
        /// First address.
        first: Address,
        /// Second address.
        second: Address,
        /// Name of the agents.
        name: String,
    },
    /// This agent is not among the initial members.
    #[error(
        "this agent is not among the bootstrap peers; add its advertised peer address to \
         bootstrap_peers"
    )]
    NotAnInitialMember,
    /// Raft was not initialized.
    #[error("failed to initialize Raft: {0}")]
    Raft(String),
}

fn instead(bootstrapping: bool) -> &'static str {
    if bootstrapping {
        "only one initial member may be configured with bootstrap: on all others, remove it and \
         empty the data directory"
    } else {
        "start this agent with --join instead"
    }
}

/// Initial members of a cluster, all admitted to it.
pub struct InitialMembers {
    cluster: ClusterId,
    members: BTreeMap<NodeId, Member>,
}

impl InitialMembers {
    /// Waits until all initial members are reachable, and admits them to one cluster. Cancel-safe.
    ///
    /// # Errors
    /// A [`BootstrapError`] other than [`BootstrapError::Raft`].
    pub async fn gather(
        lobby: &Lobby,
        dialer: &Dialer,
        own: NodeId,
        addresses: &[Address],
    ) -> Result<Self, BootstrapError> {
        loop {
            let peers = identify_all(dialer, addresses).await;
            let own_cluster = lobby.cluster();
            check_no_other_cluster(&peers, own_cluster)?;
            check_distinct(&peers)?;
            if !peers.values().any(|peer| peer.description.node == own) {
                return Err(BootstrapError::NotAnInitialMember);
            }
            let cluster = own_cluster.unwrap_or_else(|| ClusterId(Uuid::new_v4()));
            match admit_all(lobby, dialer, cluster, &peers).await {
                Ok(()) => {
                    let members = peers
                        .into_iter()
                        .map(|(address, peer)| (peer.description.node, Member { address }));
                    return Ok(Self { cluster, members: members.collect() });
                }
                // A member that restarted in the meantime has a new node id, so all are identified
                // again.
                Err(cause) => {
                    tracing::info!(%cause, "admitting the initial members failed, retrying")
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Returns the new cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Initializes Raft with these members. Returns once that is durable on this node; until it is
    /// committed, no member can be added.
    ///
    /// # Errors
    /// [`BootstrapError::Raft`].
    pub(crate) async fn initialize(self, raft: &Raft) -> Result<(), BootstrapError> {
        match raft.initialize(self.members).await {
            // `NotAllowed`: an earlier attempt has already initialized Raft.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(BootstrapError::Raft(error.to_string())),
        }
    }
}

/// Admits all initial members to the cluster, this agent first: if it crashes, it continues with
/// the same cluster.
async fn admit_all(
    lobby: &Lobby,
    dialer: &Dialer,
    cluster: ClusterId,
    peers: &BTreeMap<Address, PeerInfo>,
) -> Result<(), String> {
    let admission = Admission::to(cluster);
    lobby.admit(admission.clone()).map_err(|error| Report::new(error).to_string())?;
    for (address, peer) in peers {
        admit(dialer, address, peer.description.node, &admission, REQUEST_TIMEOUT).await?;
    }
    Ok(())
}

/// Identifies the agents at all addresses; retries until all have responded.
async fn identify_all(dialer: &Dialer, addresses: &[Address]) -> BTreeMap<Address, PeerInfo> {
    let mut last_logged = String::new();
    loop {
        let (mut peers, mut errors) = (BTreeMap::new(), Vec::new());
        for address in addresses {
            match identify(dialer, address, REQUEST_TIMEOUT).await {
                Ok(peer) => drop(peers.insert(address.clone(), peer)),
                Err(cause) => errors.push(cause),
            }
        }
        if errors.is_empty() {
            return peers;
        }
        let errors = errors.join("; ");
        if errors != last_logged {
            tracing::info!(%errors, "bootstrap waits for initial members");
            last_logged = errors;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

fn check_no_other_cluster(
    peers: &BTreeMap<Address, PeerInfo>,
    own_cluster: Option<ClusterId>,
) -> Result<(), BootstrapError> {
    for (address, peer) in peers {
        if let Some(cluster) = peer.cluster.filter(|cluster| Some(*cluster) != own_cluster) {
            let (address, name) = (address.clone(), peer.description.name.to_string());
            let bootstrapping = own_cluster.is_some();
            return Err(BootstrapError::AlreadyBootstrapped {
                address,
                name,
                cluster,
                bootstrapping,
            });
        }
    }
    Ok(())
}

fn check_distinct(peers: &BTreeMap<Address, PeerInfo>) -> Result<(), BootstrapError> {
    let mut names = BTreeMap::new();
    for (address, peer) in peers {
        let name = peer.description.name.to_string();
        if let Some(first) = names.insert(name.clone(), address.clone()) {
            return Err(BootstrapError::DuplicateAgent { first, second: address.clone(), name });
        }
    }
    Ok(())
}
