//! Requests between agents that are not members of the same cluster yet: identifying an agent, and
//! admitting it to a cluster.
//!
//! A node with an empty disk belongs to no cluster and never bootstraps one unless it is configured
//! to. Until it is admitted, it serves only this service. It is admitted by the agent that
//! bootstraps the cluster, by an agent through which an operator invites it, or by its own request
//! to join.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use error_reporter::Report;
use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, Epoch, NodeId};
use meridian_proto::v1 as proto;
use meridian_proto::v1::meeting_client::MeetingClient;
use meridian_proto::v1::meeting_server::{Meeting, MeetingServer};
use meridian_storage::codec;
use meridian_transport::{Dialer, settings};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use super::membership::milliseconds;
use super::process_run::{IdentifiedRun, ProcessRun};

/// Admission of an agent to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Cluster that the agent belongs to from now on.
    pub cluster: ClusterId,
    /// Epoch of the cluster.
    pub epoch: Epoch,
    /// Client addresses of agents with which the admitted agent registers itself; empty for an
    /// initial member.
    pub endpoints: Vec<String>,
}

impl Admission {
    /// Creates the admission of an initial member of `cluster`.
    #[must_use]
    pub fn to(cluster: ClusterId) -> Self {
        Self { cluster, epoch: Epoch(0), endpoints: Vec::new() }
    }
}

/// Stores the id and the epoch of the cluster durably.
pub type StoreCluster = Box<dyn FnMut(ClusterId, Epoch) -> std::io::Result<()> + Send>;

/// Implements the gRPC service `Meeting`. Cheap to clone; all clones share one admission.
#[derive(Clone)]
pub struct Lobby {
    description: Arc<AgentDescription>,
    process_run: ProcessRun,
    admission: Arc<watch::Sender<Option<Admission>>>,
    store_cluster: Arc<Mutex<StoreCluster>>,
}

impl Lobby {
    /// Creates the service of the agent with this description. `admission` is to the cluster that
    /// the agent belongs to already, if any; `store_cluster` makes an admission durable.
    #[must_use]
    pub fn new(
        description: AgentDescription,
        admission: Option<Admission>,
        store_cluster: StoreCluster,
    ) -> Self {
        Self {
            description: Arc::new(description),
            process_run: ProcessRun::start(),
            admission: Arc::new(watch::Sender::new(admission)),
            store_cluster: Arc::new(Mutex::new(store_cluster)),
        }
    }

    /// Returns the identity of this process run.
    #[must_use]
    pub fn process_run(&self) -> ProcessRun {
        self.process_run
    }

    /// Returns the gRPC service.
    #[must_use]
    pub fn service(&self) -> MeetingServer<Self> {
        MeetingServer::new(self.clone())
    }

    /// Returns the cluster that the agent belongs to, if any.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.admission.borrow().as_ref().map(|admission| admission.cluster)
    }

    /// Waits until the agent belongs to a cluster. Cancel-safe.
    pub async fn admitted(&self) -> Admission {
        let mut admission = self.admission.subscribe();
        let admitted = admission.wait_for(Option::is_some).await;
        admitted.expect("the sender is alive").clone().expect("the agent is admitted")
    }

    /// Admits the agent to a cluster, durably. A repeated admission to the same cluster only
    /// replaces the endpoints.
    ///
    /// # Errors
    /// If the agent belongs to another cluster or epoch, or the admission cannot be stored.
    pub fn admit(&self, admission: Admission) -> Result<(), AdmitError> {
        let mut store_cluster = self.store_cluster.lock().expect("no holder of this lock panics");
        let current = self.admission.borrow().as_ref().map(|known| (known.cluster, known.epoch));
        let Admission { cluster, epoch, .. } = admission;
        match current {
            Some((current, _)) if current != cluster => {
                return Err(AdmitError::OtherCluster(current));
            }
            Some((_, current)) if current != epoch => {
                return Err(AdmitError::OtherEpoch { current, epoch });
            }
            Some(_) => {}
            None => store_cluster(cluster, epoch).map_err(AdmitError::NotDurable)?,
        }
        self.admission.send_replace(Some(admission));
        Ok(())
    }
}

/// Error of an admission.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The agent belongs to another cluster.
    #[error("this agent belongs to cluster {0}; to move it, stop it and empty its data directory")]
    OtherCluster(ClusterId),
    /// The agent belongs to another epoch of the cluster.
    #[error(
        "this agent is in epoch {current} of the cluster, which is in epoch {epoch}; stop it and \
         empty its data directory"
    )]
    OtherEpoch {
        /// Epoch of the agent.
        current: Epoch,
        /// Epoch of the cluster.
        epoch: Epoch,
    },
    /// The admission was not stored.
    #[error("failed to store the admission")]
    NotDurable(#[source] std::io::Error),
}

#[async_trait]
impl Meeting for Lobby {
    async fn identify(
        &self,
        _: Request<proto::IdentifyRequest>,
    ) -> Result<Response<proto::IdentifyResponse>, Status> {
        let admission = self.admission.borrow().clone();
        let run = self.process_run.identify();
        Ok(Response::new(proto::IdentifyResponse {
            process_run: run.id.to_string(),
            age_ms: milliseconds(run.age),
            description: codec::encode(&*self.description).into(),
            cluster_id: admission
                .map(|admission| admission.cluster.to_string())
                .unwrap_or_default(),
        }))
    }

    async fn admit(
        &self,
        request: Request<proto::AdmitRequest>,
    ) -> Result<Response<proto::AdmitResponse>, Status> {
        let request = request.into_inner();
        if NodeId(request.node) != self.description.node {
            let node = self.description.node;
            let cause = format!("node mismatch: this is node {node}");
            return Err(Status::failed_precondition(cause));
        }
        let cluster = request.cluster_id.parse().map(ClusterId);
        let cluster = cluster.map_err(|_| Status::invalid_argument("cluster_id: invalid UUID"))?;
        let epoch = Epoch(request.epoch);
        let admission = Admission { cluster, epoch, endpoints: request.endpoints };
        Lobby::admit(self, admission)
            .map_err(|error| Status::failed_precondition(Report::new(error).to_string()))?;
        Ok(Response::new(proto::AdmitResponse {}))
    }
}

/// Identity of another agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Description of the agent.
    pub description: AgentDescription,
    /// Cluster that the agent belongs to, if any.
    pub cluster: Option<ClusterId>,
    /// Run of its process; `None` if that is invalid.
    pub run: Option<IdentifiedRun>,
}

/// Identifies the agent at `address`. `timeout` applies to the connection and to the request
/// separately.
///
/// # Errors
/// A message with the address and the cause.
pub async fn identify(
    dialer: &Dialer,
    address: &Address,
    timeout: Duration,
) -> Result<PeerInfo, String> {
    let at = |cause: String| format!("{address}: {cause}");
    let mut client = connect(dialer, address, timeout).await.map_err(at)?;
    let request = client.identify(proto::IdentifyRequest {});
    let response = tokio::time::timeout(timeout, request).await;
    let response = response.map_err(|_| at(format!("no response within {timeout:?}")))?;
    let response = response.map_err(|status| at(identify_error(&status)))?.into_inner();
    let description =
        codec::decode(&response.description).map_err(|error| at(error.to_string()))?;
    let cluster = match response.cluster_id.as_str() {
        "" => None,
        id => Some(ClusterId(id.parse().map_err(|_| at(format!("invalid cluster id {id}")))?)),
    };
    let age = Duration::from_millis(response.age_ms);
    let run = response.process_run.parse().ok().map(|id| IdentifiedRun { id, age });
    Ok(PeerInfo { description, cluster, run })
}

/// Admits the waiting agent `node` at `address` to a cluster. `timeout` applies to the connection
/// and to the request separately.
///
/// # Errors
/// A message with the address and the cause.
pub async fn admit(
    dialer: &Dialer,
    address: &Address,
    node: NodeId,
    admission: &Admission,
    timeout: Duration,
) -> Result<(), String> {
    let at = |cause: String| format!("{address}: {cause}");
    let mut client = connect(dialer, address, timeout).await.map_err(at)?;
    let request = proto::AdmitRequest {
        cluster_id: admission.cluster.to_string(),
        node: node.0,
        endpoints: admission.endpoints.clone(),
        epoch: admission.epoch.0,
    };
    let response = tokio::time::timeout(timeout, client.admit(request)).await;
    let response = response.map_err(|_| at(format!("no response within {timeout:?}")))?;
    response.map(|_| ()).map_err(|status| at(status.message().to_owned()))
}

async fn connect(
    dialer: &Dialer,
    address: &Address,
    timeout: Duration,
) -> Result<MeetingClient<tonic::transport::Channel>, String> {
    meridian_transport::connect(dialer, address, &settings::PEER, timeout)
        .await
        .map(MeetingClient::new)
        .map_err(|error| format!("unreachable: {error}"))
}

/// Returns the cause for an error status of `Identify`.
fn identify_error(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "not the peer port of an agent (7401 by default)".to_owned(),
        _ => status.message().to_owned(),
    }
}
