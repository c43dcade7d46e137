//! How a cluster begins: one agent is told to found it, with the peer addresses of all founders.
//!
//! It waits until all of them answer, makes each part of the new cluster (durable on each before it
//! answers), and then gives Raft its first members: all founders at once, so that the first
//! acknowledged change is on a majority of them. Every step may be repeated after a crash. A founder
//! that belongs to a cluster already stops it: an emptied disk never founds its cluster again.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_storage::raft::Member;
use meridian_transport::Dialer;
use openraft::errors::{InitializeError, RaftError};
use uuid::Uuid;

use crate::instance::Raft;
use crate::peer::meeting::{Admission, Lobby, Met, admit, identify};

/// Between two rounds of asking founders that did not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one founder may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a cluster was not founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// A founder is part of a cluster.
    #[error(
        "founder {address} ({name}) belongs to cluster {cluster}: it is founded already; \
         start this agent with --join instead"
    )]
    Founded {
        /// Where the founder is.
        address: Address,
        /// Its name.
        name: String,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// Two of the addresses are one agent's, or two agents have one name.
    #[error("founders {first} and {second} are both agent {name}")]
    Twice {
        /// One address.
        first: Address,
        /// The other.
        second: Address,
        /// The name.
        name: String,
    },
    /// The agent that founds is not among the founders.
    #[error("none of the founders is this agent: add its advertised peer address to them")]
    NotAFounder,
    /// Raft refused its first members.
    #[error("the first members could not be written: {0}")]
    Raft(String),
}

/// The founders of a cluster, all admitted to it.
pub struct Founders {
    cluster: ClusterId,
    members: BTreeMap<NodeId, Member>,
}

impl Founders {
    /// Waits until all founders answer, and makes them part of one cluster. Cancel-safe.
    ///
    /// # Errors
    /// If the cluster cannot be founded with them.
    pub async fn gather(
        lobby: &Lobby,
        dialer: &Dialer,
        own: NodeId,
        addresses: &[Address],
    ) -> Result<Self, FoundingError> {
        loop {
            let met = meet_all(dialer, addresses).await;
            let present = lobby.cluster();
            check_unfounded(&met, present)?;
            check_distinct(&met)?;
            if !met.values().any(|founder| founder.description.node == own) {
                return Err(FoundingError::NotAFounder);
            }
            let cluster = present.unwrap_or_else(|| ClusterId(Uuid::new_v4()));
            match admit_all(lobby, dialer, cluster, &met).await {
                Ok(()) => {
                    let members = met
                        .into_iter()
                        .map(|(address, founder)| (founder.description.node, Member { address }));
                    return Ok(Self { cluster, members: members.collect() });
                }
                // A founder that restarted meanwhile is another node now: meet it again.
                Err(cause) => tracing::info!(%cause, "founding begins anew"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The cluster that they found.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Gives Raft its first members, and returns once that is committed: before, nobody may be added.
    ///
    /// # Errors
    /// If Raft refuses.
    pub(crate) async fn initialize(self, raft: &Raft) -> Result<(), FoundingError> {
        match raft.initialize(self.members).await {
            // An earlier attempt got this far.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(FoundingError::Raft(error.to_string())),
        }
    }
}

/// Makes all founders part of the cluster, this one first: should it crash now, it goes on with the
/// same cluster.
async fn admit_all(
    lobby: &Lobby,
    dialer: &Dialer,
    cluster: ClusterId,
    met: &BTreeMap<Address, Met>,
) -> Result<(), String> {
    let admission = Admission { cluster, endpoints: Vec::new() };
    lobby.admit(admission.clone()).map_err(|error| error.to_string())?;
    for (address, founder) in met {
        admit(dialer, address, founder.description.node, &admission, PATIENCE).await?;
    }
    Ok(())
}

/// Asks all until all have answered.
async fn meet_all(dialer: &Dialer, addresses: &[Address]) -> BTreeMap<Address, Met> {
    let mut last_told = String::new();
    loop {
        let (mut met, mut missing) = (BTreeMap::new(), Vec::new());
        for address in addresses {
            match identify(dialer, address, PATIENCE).await {
                Ok(founder) => drop(met.insert(address.clone(), founder)),
                Err(cause) => missing.push(cause),
            }
        }
        if missing.is_empty() {
            return met;
        }
        let waiting_for = missing.join("; ");
        if waiting_for != last_told {
            tracing::info!(%waiting_for, "founding waits until all founders answer");
            last_told = waiting_for;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn check_unfounded(
    met: &BTreeMap<Address, Met>,
    present: Option<ClusterId>,
) -> Result<(), FoundingError> {
    for (address, founder) in met {
        if let Some(cluster) = founder.cluster.filter(|cluster| Some(*cluster) != present) {
            let name = founder.description.name.to_string();
            return Err(FoundingError::Founded { address: address.clone(), name, cluster });
        }
    }
    Ok(())
}

fn check_distinct(met: &BTreeMap<Address, Met>) -> Result<(), FoundingError> {
    let mut names = BTreeMap::new();
    for (address, founder) in met {
        let name = founder.description.name.to_string();
        if let Some(first) = names.insert(name.clone(), address.clone()) {
            return Err(FoundingError::Twice { first, second: address.clone(), name });
        }
    }
    Ok(())
}
