//! How an agent comes to belong to a cluster, once in its life.
//!
//! | the data directory | told to | so |
//! | --- | --- | --- |
//! | belongs to a cluster | anything | nothing is asked any more |
//! | is new | found | gathers the founders, and makes them part of a new cluster |
//! | is new | join | asks which cluster it is, and joins it |
//! | is new | nothing | waits until a founder or an operator's invitation makes it part of one |

use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId};
use meridian_replication::founding::{Founders, FoundingError};
use meridian_replication::peer::meeting::{Admission, AdmitError, Lobby};

use super::registration::{JoinError, find_cluster};
use crate::config::Start;

/// What an agent is part of.
pub struct Membership {
    /// The cluster.
    pub cluster: ClusterId,
    /// The founders, where this agent founds it.
    pub founders: Option<Founders>,
    /// Through which agents it has itself registered, where it may not be.
    pub endpoints: Vec<Address>,
}

/// Why an agent does not come to belong to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// It cannot be founded.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// It cannot be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// This agent cannot be made part of it.
    #[error(transparent)]
    Admit(#[from] AdmitError),
}

/// Returns once the agent belongs to a cluster, durably. Cancel-safe.
///
/// # Errors
/// If it cannot be done and will not be possible later.
pub async fn become_member(
    lobby: &Lobby,
    description: &AgentDescription,
    start: &Start,
) -> Result<Membership, AdmissionError> {
    if let Some(cluster) = lobby.cluster() {
        let endpoints = match start {
            Start::Join(endpoints) => endpoints.clone(),
            Start::Found(_) | Start::Wait(_) => Vec::new(),
        };
        return Ok(Membership { cluster, founders: None, endpoints });
    }
    match start {
        Start::Found(addresses) => {
            let founders = gather(lobby, description, addresses).await?;
            let cluster = founders.cluster();
            Ok(Membership { cluster, founders: Some(founders), endpoints: Vec::new() })
        }
        Start::Join(endpoints) => {
            tracing::info!(?endpoints, "joining a cluster");
            let cluster = find_cluster(endpoints).await?;
            lobby.admit(Admission { cluster, endpoints: Vec::new() })?;
            Ok(Membership { cluster, founders: None, endpoints: endpoints.clone() })
        }
        Start::Wait(founders) => {
            announce_waiting(description, founders);
            let Admission { cluster, endpoints } = lobby.admitted().await;
            let endpoints = endpoints.iter().filter_map(|text| text.parse().ok()).collect();
            Ok(Membership { cluster, founders: None, endpoints })
        }
    }
}

/// Waits for all founders, this agent among them.
///
/// # Errors
/// If the cluster cannot be founded with them.
pub async fn gather(
    lobby: &Lobby,
    description: &AgentDescription,
    addresses: &[Address],
) -> Result<Founders, FoundingError> {
    let alone = [description.peer_address.clone()];
    let addresses = if addresses.is_empty() { &alone } else { addresses };
    tracing::info!(founders = ?addresses, "founding a cluster");
    Founders::gather(lobby, description.node, addresses).await
}

fn announce_waiting(description: &AgentDescription, founders: &[Address]) {
    let address = &description.peer_address;
    if founders.is_empty() {
        tracing::info!(
            "this agent belongs to no cluster; invite it from any agent of one: \
             meridian cluster join {address}"
        );
    } else {
        tracing::info!(?founders, "waiting for the founder that was told to found");
    }
}
