//! Joining a running cluster: asking its agents which one it is, and having them register this agent.
//!
//! The cluster's id is made durable before the agent is registered. The other way round, a crash in
//! between would leave a registered node without a disk, and its name taken for ever.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId};
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::{GetStatusRequest, RegisterAgentRequest};
use meridian_transport::{ConnectError, Dialer, settings};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::client;

/// To open a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// For an answer: registering needs a majority, which may have to elect a leader first.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two rounds, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Why an agent cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The cluster does not take it.
    #[error("the cluster refuses this agent: {cause}")]
    Refused {
        /// What it says.
        cause: String,
    },
    /// It is not a cluster that answers.
    #[error("{endpoint} does not say which cluster it is")]
    NoCluster {
        /// Who was asked.
        endpoint: Address,
    },
    /// The agent has the data directory of another cluster.
    #[error("the data directory belongs to cluster {own}, and {endpoint} to cluster {theirs}")]
    OtherCluster {
        /// The cluster that the data directory belongs to.
        own: ClusterId,
        /// Who was asked.
        endpoint: Address,
        /// The cluster that it is of.
        theirs: ClusterId,
    },
}

/// Asks each of the agents at `endpoints` once which cluster it is of, for an agent that belongs to
/// `own` already. One that does not answer says nothing: a start waits for nobody. Cancel-safe.
///
/// # Errors
/// If some answer, and none of them is of `own`.
pub async fn check_cluster(endpoints: &[Address], own: ClusterId) -> Result<(), JoinError> {
    let mut other = Ok(());
    for endpoint in endpoints {
        let asking = async {
            let mut client = ClusterClient::new(connect(endpoint).await.ok()?);
            let answer = client.get_status(request(GetStatusRequest {})).await.ok()?;
            answer.into_inner().cluster_id.parse().map(ClusterId).ok()
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Some(theirs)) if theirs == own => return Ok(()),
            Ok(Some(theirs)) => {
                other = Err(JoinError::OtherCluster { own, endpoint: endpoint.clone(), theirs });
            }
            Ok(None) | Err(_) => {}
        }
    }
    other
}

/// Asks the agents at `endpoints`, until one answers, which cluster they are of. Cancel-safe.
///
/// # Errors
/// If one answers and is of none.
pub async fn find_cluster(endpoints: &[Address]) -> Result<ClusterId, JoinError> {
    let ask = async |mut client: ClusterClient<Channel>| {
        let answer = client.get_status(request(GetStatusRequest {})).await?;
        Ok(answer.into_inner().cluster_id)
    };
    let (endpoint, id) = until_answered(endpoints, ask).await?;
    id.parse().map(ClusterId).map_err(|_| JoinError::NoCluster { endpoint })
}

/// Has the agents at `endpoints` register this one, trying until one of them can. Cancel-safe: to
/// register twice is to register once.
///
/// # Errors
/// If the cluster refuses.
pub async fn register(
    endpoints: &[Address],
    description: &AgentDescription,
    cluster: ClusterId,
) -> Result<(), JoinError> {
    let message = message(description, cluster);
    let ask = async |mut client: ClusterClient<Channel>| {
        client.register_agent(request(message.clone())).await.map(|answer| answer.into_inner())
    };
    let (endpoint, answer) = until_answered(endpoints, ask).await?;
    tracing::info!(%endpoint, revision = answer.revision, "registered");
    Ok(())
}

fn message(description: &AgentDescription, cluster: ClusterId) -> RegisterAgentRequest {
    RegisterAgentRequest {
        name: description.name.to_string(),
        node: description.node.to_string(),
        region: description.region.to_string(),
        zone: description.zone.map(|zone| u8::from(zone).into()),
        witness: description.witness,
        client_address: description.client_address.to_string(),
        peer_address: description.peer_address.to_string(),
        gateway_host: description.gateway_host.clone(),
        supports: description.supports.0,
        cluster_id: cluster.to_string(),
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// Goes through the endpoints, round after round, until one answers with yes or with no.
async fn until_answered<T>(
    endpoints: &[Address],
    ask: impl AsyncFn(ClusterClient<Channel>) -> Result<T, Status>,
) -> Result<(Address, T), JoinError> {
    let mut pause = PAUSES.0;
    loop {
        for endpoint in endpoints {
            let answered = match connect(endpoint).await {
                Ok(channel) => {
                    let asked = ask(ClusterClient::new(channel));
                    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
                        Err(Status::deadline_exceeded(format!("no answer within {PATIENCE:?}")))
                    })
                }
                Err(error) => Err(Status::unavailable(error.to_string())),
            };
            match answered {
                Ok(answer) => return Ok((endpoint.clone(), answer)),
                Err(status) if is_refusal(status.code()) => {
                    return Err(JoinError::Refused { cause: status.message().to_owned() });
                }
                Err(status) => {
                    let cause = client::words(&status);
                    tracing::warn!(%endpoint, cause, "joining is tried again");
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn connect(endpoint: &Address) -> Result<Channel, ConnectError> {
    meridian_transport::connect(&Dialer::default(), endpoint, &settings::CLIENT, CONNECT).await
}

/// Whether asking again, here or elsewhere, would bring the same answer.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists | Code::NotFound
    )
}
