//! Registration with a running cluster: looking up its id through any of its agents, and registering
//! this agent.
//!
//! The cluster's id is stored durably before the agent is registered. In the opposite order, a crash in
//! between would leave a registered node without a disk, and its name taken forever.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, Epoch};
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::{GetStatusRequest, RegisterAgentRequest};
use meridian_transport::{ConnectError, Dialer, settings};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::client;

/// Timeout for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of a request: registration needs a quorum, which may have to elect a leader first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Initial and maximum backoff between rounds over the endpoints.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Reason why an agent cannot join a cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The cluster refused the agent.
    #[error("the cluster refused this agent: {cause}")]
    Refused {
        /// The message of the cluster.
        cause: String,
    },
    /// The endpoint did not return a cluster id.
    #[error("{endpoint} did not return a cluster id")]
    NoCluster {
        /// The endpoint.
        endpoint: Address,
    },
    /// The data directory belongs to another cluster.
    #[error("the data directory belongs to cluster {own}, but {endpoint} to cluster {theirs}")]
    OtherCluster {
        /// Cluster of the data directory.
        own: ClusterId,
        /// The endpoint.
        endpoint: Address,
        /// Cluster of the endpoint.
        theirs: ClusterId,
    },
}

/// Verifies that the agents at `endpoints` are members of `own`, with one request to each. An
/// unreachable agent is skipped, so that a start waits for no other agent. Cancel-safe.
///
/// # Errors
/// If some agents respond and none of them is a member of `own`.
pub async fn check_cluster(endpoints: &[Address], own: ClusterId) -> Result<(), JoinError> {
    let mut other = Ok(());
    for endpoint in endpoints {
        let lookup = async {
            let mut client = ClusterClient::new(connect(endpoint).await.ok()?);
            let response = client.get_status(request(GetStatusRequest {})).await.ok()?;
            response.into_inner().cluster_id.parse().map(ClusterId).ok()
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, lookup).await {
            Ok(Some(theirs)) if theirs == own => return Ok(()),
            Ok(Some(theirs)) => {
                other = Err(JoinError::OtherCluster { own, endpoint: endpoint.clone(), theirs });
            }
            Ok(None) | Err(_) => {}
        }
    }
    other
}

/// Looks up the id and the epoch of the cluster through the agents at `endpoints`; retries until one
/// responds. Cancel-safe.
///
/// # Errors
/// If the agent that responds returns an invalid id.
pub async fn find_cluster(endpoints: &[Address]) -> Result<(ClusterId, Epoch), JoinError> {
    let rpc = async |mut client: ClusterClient<Channel>| {
        let response = client.get_status(request(GetStatusRequest {})).await?;
        Ok(response.into_inner())
    };
    let (endpoint, status) = retry(endpoints, rpc).await?;
    let id = status.cluster_id.parse().map(ClusterId);
    let id = id.map_err(|_| JoinError::NoCluster { endpoint })?;
    Ok((id, Epoch(status.epoch)))
}

/// Registers this agent through the agents at `endpoints`; retries until one succeeds. Cancel-safe,
/// because registration is idempotent.
///
/// # Errors
/// If the cluster refuses the agent.
pub async fn register(
    endpoints: &[Address],
    description: &AgentDescription,
    cluster: ClusterId,
    epoch: Epoch,
) -> Result<(), JoinError> {
    let message = message(description, cluster, epoch);
    let rpc = async |mut client: ClusterClient<Channel>| {
        let response = client.register_agent(request(message.clone())).await;
        response.map(|response| response.into_inner())
    };
    let (endpoint, response) = retry(endpoints, rpc).await?;
    tracing::info!(%endpoint, revision = response.revision, "agent registered");
    Ok(())
}

fn message(
    description: &AgentDescription,
    cluster: ClusterId,
    epoch: Epoch,
) -> RegisterAgentRequest {
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
        epoch: epoch.0,
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(REQUEST_TIMEOUT);
    request
}

/// Sends `rpc` to one endpoint after another, round after round with backoff, until one returns a
/// definite result.
async fn retry<T>(
    endpoints: &[Address],
    rpc: impl AsyncFn(ClusterClient<Channel>) -> Result<T, Status>,
) -> Result<(Address, T), JoinError> {
    let mut backoff = BACKOFF.0;
    loop {
        for endpoint in endpoints {
            let result = match connect(endpoint).await {
                Ok(channel) => {
                    let attempt = rpc(ClusterClient::new(channel));
                    tokio::time::timeout(REQUEST_TIMEOUT, attempt).await.unwrap_or_else(|_| {
                        let cause = format!("no response within {REQUEST_TIMEOUT:?}");
                        Err(Status::deadline_exceeded(cause))
                    })
                }
                Err(error) => Err(Status::unavailable(error.to_string())),
            };
            match result {
                Ok(response) => return Ok((endpoint.clone(), response)),
                Err(status) if is_permanent(status.code()) => {
                    return Err(JoinError::Refused { cause: status.message().to_owned() });
                }
                Err(status) => {
                    let cause = client::message(&status);
                    tracing::warn!(%endpoint, cause, "join attempt failed; retrying");
                }
            }
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

async fn connect(endpoint: &Address) -> Result<Channel, ConnectError> {
    meridian_transport::connect(&Dialer::default(), endpoint, &settings::CLIENT, CONNECT_TIMEOUT)
        .await
}

/// Returns true if a retry, on this or another agent, would fail with the same code.
fn is_permanent(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists | Code::NotFound
    )
}
