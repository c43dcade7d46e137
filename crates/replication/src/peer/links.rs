//! Connections for forwarded commands, reads and status requests: one for each node, opened when
//! first needed and dropped on the first error, so that the next request resolves the address
//! again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_proto::v1::{self as proto};
use meridian_storage::raft::TypeConfig;
use meridian_transport::Dialer;
use openraft::async_runtime::WatchReceiver as _;
use openraft::type_config::alias::WatchReceiverOf;
use tonic::{Code, Response, Status};

use super::connection::{Client, RequestError, connect};
use super::error::describe;
use super::identity::Headers;
use super::proposals::ProposalStream;
use crate::instance::Raft;

/// Connections of this node to the other members.
pub struct Links {
    cluster: ClusterId,
    dialer: Dialer,
    connect_timeout: Duration,
    metrics: WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>,
    clients: Mutex<BTreeMap<NodeId, Client>>,
    proposals: Mutex<BTreeMap<NodeId, ProposalStream>>,
}

impl Links {
    /// Creates links to the members in the membership of `raft`.
    pub(crate) fn new(
        cluster: ClusterId,
        raft: &Raft,
        dialer: Dialer,
        connect_timeout: Duration,
    ) -> Self {
        let (clients, proposals) = Default::default();
        let metrics = raft.server_metrics();
        Self { cluster, dialer, connect_timeout, metrics, clients, proposals }
    }

    /// Forwards a command to `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn propose(
        &self,
        node: NodeId,
        request: proto::ProposeRequest,
    ) -> Result<proto::ProposeResponse, RequestError> {
        let open = self.proposals().get(&node).filter(|stream| !stream.is_closed()).cloned();
        let stream = match open {
            Some(stream) => stream,
            None => self.open_proposal_stream(node).await?,
        };
        stream.request(request).await
    }

    async fn open_proposal_stream(&self, node: NodeId) -> Result<ProposalStream, RequestError> {
        let opened = ProposalStream::open(self.client(node).await?).await;
        let opened = self.handle_response(node, opened.map(Response::new));
        // No command was sent on a stream that did not open.
        let stream = opened.map_err(|error| RequestError::NotSent(error.to_string()))?;
        self.proposals().insert(node, stream.clone());
        Ok(stream)
    }

    /// Requests a read index from `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn read_index(
        &self,
        node: NodeId,
        request: proto::ReadIndexRequest,
    ) -> Result<proto::ReadIndexResponse, RequestError> {
        let mut client = self.client(node).await?;
        self.handle_response(node, client.read_index(request).await)
    }

    /// Requests the applied position of `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn position(&self, node: NodeId) -> Result<proto::PositionResponse, RequestError> {
        let mut client = self.client(node).await?;
        self.handle_response(node, client.position(proto::PositionRequest {}).await)
    }

    /// Requests the unit loads of the agent of `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn loads(&self, node: NodeId) -> Result<proto::LoadsResponse, RequestError> {
        let mut client = self.client(node).await?;
        self.handle_response(node, client.loads(proto::LoadsRequest {}).await)
    }

    /// Requests the leader's view of the members from `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn membership(
        &self,
        node: NodeId,
    ) -> Result<proto::MembershipResponse, RequestError> {
        let mut client = self.client(node).await?;
        self.handle_response(node, client.membership(proto::MembershipRequest {}).await)
    }

    /// Asks `node`, the leader, to transfer leadership to `to`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn transfer_leadership(
        &self,
        node: NodeId,
        to: NodeId,
    ) -> Result<proto::TransferLeadershipResponse, RequestError> {
        let mut client = self.client(node).await?;
        let request = proto::TransferLeadershipRequest { to: to.0 };
        self.handle_response(node, client.transfer_leadership(request).await)
    }

    /// Returns the dialer that opens the connections.
    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Returns the node id and address of every member.
    pub fn members(&self) -> Vec<(NodeId, Address)> {
        let membership = self.metrics.borrow_watched().membership_config.clone();
        membership.nodes().map(|(node, member)| (*node, member.address.clone())).collect()
    }

    async fn client(&self, node: NodeId) -> Result<Client, RequestError> {
        if let Some(client) = self.clients().get(&node) {
            return Ok(client.clone());
        }
        let members = self.members();
        let address = members.into_iter().find(|(member, _)| *member == node);
        let (_, address) =
            address.ok_or_else(|| RequestError::NotSent(format!("{node} is not a member")))?;
        let headers = Headers::new(self.cluster, node);
        let client = connect(&self.dialer, &address, headers, self.connect_timeout)
            .await
            .map_err(RequestError::NotSent)?;
        self.clients().insert(node, client.clone());
        Ok(client)
    }

    /// Returns the message of a response. An error drops the connection.
    fn handle_response<T>(
        &self,
        node: NodeId,
        response: Result<Response<T>, Status>,
    ) -> Result<T, RequestError> {
        response.map(Response::into_inner).map_err(|status| {
            self.clients().remove(&node);
            // The status may be local: the node may not have responded.
            let cause = format!("request to {node} failed: {}", describe(&status));
            match status.code() {
                // Returned before the receiver processes a request.
                Code::FailedPrecondition | Code::Unimplemented => RequestError::NotSent(cause),
                _ => RequestError::OutcomeUnknown(cause),
            }
        })
    }

    fn proposals(&self) -> MutexGuard<'_, BTreeMap<NodeId, ProposalStream>> {
        self.proposals.lock().expect("no holder of this lock panics")
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<NodeId, Client>> {
        self.clients.lock().expect("no holder of this lock panics")
    }
}
