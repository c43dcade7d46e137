//! How an agent comes to belong to a cluster, once in its life.
//!
//! | the data directory | told to | so |
//! | --- | --- | --- |
//! | belongs to a cluster | anything | nothing is asked any more, once it has heard of its log |
//! | is new | found | gathers the founders, and makes them part of a new cluster |
//! | is new | join | asks which cluster it is, and joins it |
//! | is new | nothing | waits until a founder or an operator's invitation makes it part of one |
//!
//! An agent that stops between its admission and its registration knows its cluster and nobody in it,
//! unless it was told to join: it waits to be invited once more.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, Command, State, decide};
use meridian_replication::founding::{Founders, FoundingError};
use meridian_replication::peer::meeting::{Admission, AdmitError, Lobby};
use meridian_transport::Dialer;
use uuid::Uuid;

use super::registration::{JoinError, find_cluster};
use crate::config::Start;

/// Between two looks at whether there was another invitation.
const LOOK: Duration = Duration::from_millis(200);

/// What an agent is part of.
pub struct Membership {
    /// The cluster.
    pub cluster: ClusterId,
    /// The founders, where this agent founds it.
    pub founders: Option<Founders>,
    /// The agents that it was told to join, or that it was invited to register itself with.
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
    /// This agent cannot be one of the founders.
    #[error("{rejections}")]
    Founder {
        /// What a new cluster would say.
        rejections: String,
    },
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
            check_founder(description)?;
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
            if !founders.is_empty() {
                check_founder(description)?;
            }
            announce_waiting(description, founders);
            let Admission { cluster, endpoints } = lobby.admitted().await;
            Ok(Membership { cluster, founders: None, endpoints: addresses(&endpoints) })
        }
    }
}

/// Whether a new cluster would take this agent as a founder. Each looks at itself, before it belongs to
/// one: a refusal inside the new cluster would reach nobody.
fn check_founder(description: &AgentDescription) -> Result<(), AdmissionError> {
    let (cluster, founders) = (ClusterId(Uuid::nil()), vec![description.clone()]);
    match decide(&State::default(), &Command::BootstrapCluster { cluster, agents: founders }) {
        Ok(_) => Ok(()),
        Err(rejections) => {
            let rejections: Vec<_> = rejections.iter().map(ToString::to_string).collect();
            Err(AdmissionError::Founder { rejections: rejections.join("; ") })
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
    Founders::gather(lobby, &Dialer::default(), description.node, addresses).await
}

/// Does `register` through the agents at `endpoints` and those of the newest invitation. Begins anew
/// with each further one: the agents of the earlier ones may be gone. Waits while there are none.
pub async fn with_newest_invitation<T>(
    lobby: &Lobby,
    endpoints: &[Address],
    register: impl AsyncFn(&[Address]) -> T,
) -> T {
    loop {
        let invitation = lobby.admitted().await;
        let mut known = addresses(&invitation.endpoints);
        known
            .extend(endpoints.iter().filter(|it| !known.contains(it)).cloned().collect::<Vec<_>>());
        let another = async {
            while lobby.admitted().await == invitation {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            done = register(&known), if !known.is_empty() => return done,
            () = another => tracing::info!("invited once more"),
        }
    }
}

fn addresses(endpoints: &[String]) -> Vec<Address> {
    endpoints.iter().filter_map(|text| text.parse().ok()).collect()
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

#[cfg(test)]
mod tests {
    use meridian_domain::{AgentName, DataVersion, NodeId, RegionName};

    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text).expect("is an address")
    }

    fn description() -> AgentDescription {
        AgentDescription {
            name: AgentName::new("eastus-1").expect("is a name"),
            node: NodeId(7),
            region: RegionName::new("eastus").expect("is a name"),
            zone: None,
            witness: false,
            client_address: address("127.0.0.1:7400"),
            peer_address: address("127.0.0.1:7401"),
            gateway_host: "127.0.0.1".to_owned(),
            supports: DataVersion::SUPPORTED,
        }
    }

    #[tokio::test]
    async fn an_agent_that_stopped_before_it_was_registered_listens_to_further_invitations() {
        let cluster = ClusterId(Uuid::from_u128(1));
        let lobby = Lobby::new(description(), Some(cluster), Box::new(|_| Ok(())));
        let invite = |endpoint: &str| {
            let admission = Admission { cluster, endpoints: vec![endpoint.to_owned()] };
            lobby.admit(admission).expect("it is the same cluster");
        };
        let start = Start::Wait(Vec::new());
        let member = become_member(&lobby, &description(), &start).await.expect("is a member");
        assert_eq!((member.cluster, &*member.endpoints), (cluster, &[][..]));

        let register = async |endpoints: &[Address]| {
            if endpoints.contains(&address("gone:7400")) {
                invite("alive:7400");
                return std::future::pending().await;
            }
            endpoints.to_vec()
        };
        let registered = with_newest_invitation(&lobby, &member.endpoints, register);
        let invited = async { invite("gone:7400") };
        let both = async { tokio::join!(registered, invited).0 };
        let through = tokio::time::timeout(Duration::from_secs(20), both).await;
        assert_eq!(through.expect("is registered"), [address("alive:7400")]);
    }

    #[tokio::test]
    async fn no_cluster_is_founded_in_a_region_that_there_is_not() {
        let region = RegionName::new("westeurop").expect("is a name");
        let description = AgentDescription { region, ..description() };
        for start in [Start::Found(Vec::new()), Start::Wait(vec![address("127.0.0.1:7401")])] {
            let lobby = Lobby::new(description.clone(), None, Box::new(|_| Ok(())));
            let founded = become_member(&lobby, &description, &start).await;
            let error = founded.err().expect("is refused").to_string();
            assert!(error.contains("no region westeurop; did you mean westeurope"), "{error}");
            assert!(lobby.cluster().is_none());
        }
    }
}
