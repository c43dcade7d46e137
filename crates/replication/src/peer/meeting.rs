//! Before there is a cluster in common: how founders find each other, and how a waiting agent is
//! invited.
//!
//! A node with an empty disk belongs to no cluster and never founds one unless it was told to. It
//! answers only this service until it is admitted: by the founder that was told to found, by an
//! agent that an operator had invite it, or by its own request to join.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, ClusterId, NodeId};
use meridian_proto::v1 as proto;
use meridian_proto::v1::meeting_client::MeetingClient;
use meridian_proto::v1::meeting_server::{Meeting, MeetingServer};
use meridian_storage::codec;
use meridian_transport::{Dialer, settings};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

/// How an agent came to belong to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The cluster.
    pub cluster: ClusterId,
    /// Client addresses of agents through which it is to register itself; empty for a founder.
    pub endpoints: Vec<String>,
}

/// Writes the cluster's id where it survives the loss of power.
pub type Remember = Box<dyn FnMut(ClusterId) -> std::io::Result<()> + Send>;

/// Answers calls of the meeting service.
#[derive(Clone)]
pub struct Lobby {
    description: Arc<AgentDescription>,
    admission: Arc<watch::Sender<Option<Admission>>>,
    remember: Arc<Mutex<Remember>>,
}

impl Lobby {
    /// A lobby for the agent that describes itself so, and that belongs to `cluster` already if it
    /// does; `remember` makes an admission durable.
    #[must_use]
    pub fn new(
        description: AgentDescription,
        cluster: Option<ClusterId>,
        remember: Remember,
    ) -> Self {
        let admission = cluster.map(|cluster| Admission { cluster, endpoints: Vec::new() });
        Self {
            description: Arc::new(description),
            admission: Arc::new(watch::Sender::new(admission)),
            remember: Arc::new(Mutex::new(remember)),
        }
    }

    /// The gRPC service.
    #[must_use]
    pub fn service(&self) -> MeetingServer<Self> {
        MeetingServer::new(self.clone())
    }

    /// The cluster that the agent belongs to, if any.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.admission.borrow().as_ref().map(|admission| admission.cluster)
    }

    /// Returns once the agent belongs to a cluster. Cancel-safe.
    pub async fn admitted(&self) -> Admission {
        let mut admission = self.admission.subscribe();
        let admitted = admission.wait_for(Option::is_some).await;
        admitted.expect("the lobby is alive").clone().expect("there is an admission")
    }

    /// Makes the agent part of a cluster, durably. Repeating it changes nothing but the endpoints.
    ///
    /// # Errors
    /// If it belongs to another cluster, or the admission cannot be made durable.
    pub fn admit(&self, admission: Admission) -> Result<(), AdmitError> {
        let mut remember = self.remember.lock().expect("no holder of this lock panics");
        match self.cluster() {
            Some(present) if present == admission.cluster => {}
            Some(present) => return Err(AdmitError::OtherCluster(present)),
            None => remember(admission.cluster).map_err(AdmitError::NotDurable)?,
        }
        self.admission.send_replace(Some(admission));
        Ok(())
    }
}

/// Why an agent does not become part of a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It is part of another one.
    #[error("this agent belongs to cluster {0}; to move it, stop it and empty its data directory")]
    OtherCluster(ClusterId),
    /// Its disk fails.
    #[error("the admission cannot be written")]
    NotDurable(#[source] std::io::Error),
}

#[async_trait]
impl Meeting for Lobby {
    async fn identify(
        &self,
        _: Request<proto::IdentifyRequest>,
    ) -> Result<Response<proto::IdentifyResponse>, Status> {
        let admission = self.admission.borrow().clone();
        Ok(Response::new(proto::IdentifyResponse {
            description: codec::encode(&*self.description).into(),
            cluster_id: admission.map(|it| it.cluster.to_string()).unwrap_or_default(),
        }))
    }

    async fn admit(
        &self,
        request: Request<proto::AdmitRequest>,
    ) -> Result<Response<proto::AdmitResponse>, Status> {
        let request = request.into_inner();
        if NodeId(request.node) != self.description.node {
            let node = self.description.node;
            return Err(Status::failed_precondition(format!("this is node {node}")));
        }
        let cluster = request.cluster_id.parse().map(ClusterId);
        let cluster = cluster.map_err(|_| Status::invalid_argument("cluster_id: is not a UUID"))?;
        let admission = Admission { cluster, endpoints: request.endpoints };
        Lobby::admit(self, admission)
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(proto::AdmitResponse {}))
    }
}

/// An agent that was asked who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// What it says of itself.
    pub description: AgentDescription,
    /// The cluster that it belongs to, if any.
    pub cluster: Option<ClusterId>,
}

/// Asks the agent at `address` who it is.
///
/// # Errors
/// A sentence that names the address.
pub async fn identify(
    dialer: &Dialer,
    address: &Address,
    patience: Duration,
) -> Result<Met, String> {
    let at = |cause: String| format!("{address}: {cause}");
    let mut client = meet(dialer, address, patience).await.map_err(at)?;
    let call = client.identify(proto::IdentifyRequest {});
    let answer = tokio::time::timeout(patience, call).await;
    let answer = answer.map_err(|_| at(format!("no answer within {patience:?}")))?;
    let answer = answer.map_err(|status| at(refusal(&status)))?.into_inner();
    let description = codec::decode(&answer.description).map_err(|error| at(error.to_string()))?;
    let cluster = match answer.cluster_id.as_str() {
        "" => None,
        id => Some(ClusterId(id.parse().map_err(|_| at(format!("{id} is not a cluster id")))?)),
    };
    Ok(Met { description, cluster })
}

/// Makes the waiting agent `node` at `address` part of a cluster.
///
/// # Errors
/// A sentence that names the address.
pub async fn admit(
    dialer: &Dialer,
    address: &Address,
    node: NodeId,
    admission: &Admission,
    patience: Duration,
) -> Result<(), String> {
    let at = |cause: String| format!("{address}: {cause}");
    let mut client = meet(dialer, address, patience).await.map_err(at)?;
    let request = proto::AdmitRequest {
        cluster_id: admission.cluster.to_string(),
        node: node.0,
        endpoints: admission.endpoints.clone(),
    };
    let answer = tokio::time::timeout(patience, client.admit(request)).await;
    let answer = answer.map_err(|_| at(format!("no answer within {patience:?}")))?;
    answer.map(|_| ()).map_err(|status| at(status.message().to_owned()))
}

async fn meet(
    dialer: &Dialer,
    address: &Address,
    patience: Duration,
) -> Result<MeetingClient<tonic::transport::Channel>, String> {
    meridian_transport::connect(dialer, address, &settings::PEER, patience)
        .await
        .map(MeetingClient::new)
        .map_err(|error| format!("unreachable: {error}"))
}

/// What an agent's refusal to say who it is says.
fn refusal(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => {
            "does not answer as an agent's port for other agents (7401 by default)".to_owned()
        }
        _ => status.message().to_owned(),
    }
}
