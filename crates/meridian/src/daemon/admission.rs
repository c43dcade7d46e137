//! Admission: how an agent becomes a member of a cluster, once per data directory.
//!
//! | data directory | configured to | behavior |
//! | --- | --- | --- |
//! | belongs to a cluster | anything | starts as a member |
//! | new | bootstrap | contacts all bootstrap peers and admits them to a new cluster |
//! | new | join | looks up the cluster's id, and joins it |
//! | new | neither | waits until the bootstrap agent or an invitation admits it |
//!
//! An agent that stops between its admission and its registration knows the id of its cluster but no
//! other agent, unless it is configured to join: it waits for another invitation.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, Command, State, decide};
use meridian_replication::bootstrap::{BootstrapError, InitialMembers};
use meridian_replication::peer::meeting::{Admission, AdmitError, Lobby};
use meridian_transport::Dialer;
use uuid::Uuid;

use super::registration::{JoinError, find_cluster};
use crate::config::Start;

/// Interval of checks for another invitation.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Membership of this agent in a cluster.
pub struct Membership {
    /// The cluster.
    pub cluster: ClusterId,
    /// The first members, if this agent bootstraps the cluster.
    pub initial_members: Option<InitialMembers>,
    /// Client addresses of the agents through which this agent registers itself.
    pub endpoints: Vec<Address>,
}

/// Reason why an agent cannot become a member of a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The cluster cannot be bootstrapped.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The cluster cannot be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The rules of a new cluster reject this agent.
    #[error("{rejections}")]
    Rejected {
        /// The broken rules, separated by semicolons.
        rejections: String,
    },
    /// The admission cannot be stored.
    #[error(transparent)]
    Admit(#[from] AdmitError),
}

/// Returns once the agent is a member of a cluster, durably. Cancel-safe.
///
/// # Errors
/// If the agent cannot become a member, and a retry would not help.
pub async fn become_member(
    lobby: &Lobby,
    description: &AgentDescription,
    start: &Start,
) -> Result<Membership, AdmissionError> {
    if let Some(cluster) = lobby.cluster() {
        let endpoints = match start {
            Start::Join(endpoints) => endpoints.clone(),
            Start::Bootstrap(_) | Start::Wait(_) => Vec::new(),
        };
        return Ok(Membership { cluster, initial_members: None, endpoints });
    }
    match start {
        Start::Bootstrap(peers) => {
            check_rules(description)?;
            let initial_members = gather(lobby, description, peers).await?;
            let cluster = initial_members.cluster();
            Ok(Membership {
                cluster,
                initial_members: Some(initial_members),
                endpoints: Vec::new(),
            })
        }
        Start::Join(endpoints) => {
            tracing::info!(?endpoints, "joining a cluster");
            let (cluster, epoch) = find_cluster(endpoints).await?;
            lobby.admit(Admission { cluster, epoch, endpoints: Vec::new() })?;
            Ok(Membership { cluster, initial_members: None, endpoints: endpoints.clone() })
        }
        Start::Wait(peers) => {
            if !peers.is_empty() {
                check_rules(description)?;
            }
            log_waiting(description, peers);
            let Admission { cluster, endpoints, .. } = lobby.admitted().await;
            Ok(Membership {
                cluster,
                initial_members: None,
                endpoints: parse_addresses(&endpoints),
            })
        }
    }
}

/// Checks this agent against the rules of a new cluster. Each bootstrap peer checks itself before it
/// is admitted, because a rejection inside the new cluster would not be reported anywhere.
fn check_rules(description: &AgentDescription) -> Result<(), AdmissionError> {
    let (cluster, agents) = (ClusterId(Uuid::nil()), vec![description.clone()]);
    match decide(&State::default(), &Command::BootstrapCluster { cluster, agents }) {
        Ok(_) => Ok(()),
        Err(rejections) => {
            let rejections: Vec<_> = rejections.iter().map(ToString::to_string).collect();
            Err(AdmissionError::Rejected { rejections: rejections.join("; ") })
        }
    }
}

/// Waits until all bootstrap peers are reachable, this agent among them, and admits them to a new
/// cluster. Without `peers`, this agent is the only one.
///
/// # Errors
/// If the cluster cannot be bootstrapped with these peers.
pub async fn gather(
    lobby: &Lobby,
    description: &AgentDescription,
    peers: &[Address],
) -> Result<InitialMembers, BootstrapError> {
    let own = [description.peer_address.clone()];
    let peers = if peers.is_empty() { &own } else { peers };
    tracing::info!(?peers, "bootstrapping a cluster");
    InitialMembers::gather(lobby, &Dialer::default(), description.node, peers).await
}

/// Runs `register` with `endpoints` and those of the newest invitation. A newer invitation cancels the
/// attempt and starts another one, because the agents of earlier invitations may be gone. Waits while
/// no endpoint is known.
pub async fn with_newest_invitation<T>(
    lobby: &Lobby,
    endpoints: &[Address],
    register: impl AsyncFn(&[Address]) -> T,
) -> T {
    loop {
        let invitation = lobby.admitted().await;
        let mut known = parse_addresses(&invitation.endpoints);
        known
            .extend(endpoints.iter().filter(|it| !known.contains(it)).cloned().collect::<Vec<_>>());
        let newer = async {
            while lobby.admitted().await == invitation {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::select! {
            result = register(&known), if !known.is_empty() => return result,
            () = newer => tracing::info!("received another invitation"),
        }
    }
}

fn parse_addresses(endpoints: &[String]) -> Vec<Address> {
    endpoints.iter().filter_map(|text| text.parse().ok()).collect()
}

fn log_waiting(description: &AgentDescription, peers: &[Address]) {
    let address = &description.peer_address;
    if peers.is_empty() {
        tracing::info!(
            "this agent is not a member of a cluster; to invite it, run on any member: \
             meridian cluster join {address}"
        );
    } else {
        tracing::info!(?peers, "waiting for the bootstrap agent");
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::{AgentName, DataVersion, NodeId, RegionName};

    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text).expect("valid address")
    }

    fn description() -> AgentDescription {
        AgentDescription {
            name: AgentName::new("eastus-1").expect("valid name"),
            node: NodeId(7),
            region: RegionName::new("eastus").expect("valid name"),
            zone: None,
            witness: false,
            client_address: address("127.0.0.1:7400"),
            peer_address: address("127.0.0.1:7401"),
            gateway_host: "127.0.0.1".to_owned(),
            supports: DataVersion::SUPPORTED,
        }
    }

    #[tokio::test]
    async fn an_agent_stopped_before_registration_accepts_another_invitation() {
        let cluster = ClusterId(Uuid::from_u128(1));
        let admission = Some(Admission::to(cluster));
        let lobby = Lobby::new(description(), admission, Box::new(|_, _| Ok(())));
        let invite = |endpoint: &str| {
            let endpoints = vec![endpoint.to_owned()];
            let admission = Admission { endpoints, ..Admission::to(cluster) };
            lobby.admit(admission).expect("same cluster");
        };
        let start = Start::Wait(Vec::new());
        let member = become_member(&lobby, &description(), &start).await.expect("becomes a member");
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
        let endpoints = tokio::time::timeout(Duration::from_secs(20), both).await;
        assert_eq!(endpoints.expect("registers within the timeout"), [address("alive:7400")]);
    }

    #[tokio::test]
    async fn no_cluster_is_bootstrapped_in_an_unknown_region() {
        let region = RegionName::new("westeurop").expect("valid name");
        let description = AgentDescription { region, ..description() };
        for start in [Start::Bootstrap(Vec::new()), Start::Wait(vec![address("127.0.0.1:7401")])] {
            let lobby = Lobby::new(description.clone(), None, Box::new(|_, _| Ok(())));
            let result = become_member(&lobby, &description, &start).await;
            let error = result.err().expect("rejected").to_string();
            assert!(error.contains("westeurop not found; did you mean westeurope"), "{error}");
            assert!(lobby.cluster().is_none());
        }
    }
}
