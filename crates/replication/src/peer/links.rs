//! Forwarded commands, reads and status requests, over the connections of the [`Pool`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_domain::NodeId;
use meridian_domain::agent::Address;
use meridian_proto::v1::{self as proto};
use meridian_storage::raft::TypeConfig;
use meridian_transport::Dialer;
use openraft::async_runtime::WatchReceiver as _;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;
use tonic::{Code, Response, Status};

use super::error::{RequestError, describe};
use super::identity::DUPLICATE;
use super::pool::{Client, Connection, Lane, Pool};
use super::proposals::ProposalStream;
use crate::instance::Raft;

/// Requests of this node to the other members.
pub struct Links {
    pool: Arc<Pool>,
    metrics: WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>,
    /// Stream of commands to each node, with the number of its connection.
    proposals: Mutex<BTreeMap<NodeId, (u64, ProposalStream)>>,
    /// Address of an older process with the id of this node, as another member reported it.
    older_process: watch::Sender<Option<Address>>,
}

impl Links {
    /// Creates links to the members in the membership of `raft`.
    pub(crate) fn new(pool: Arc<Pool>, raft: &Raft) -> Self {
        let (metrics, proposals) = (raft.server_metrics(), Mutex::default());
        Self { pool, metrics, proposals, older_process: watch::Sender::default() }
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
        self.proposal_stream(node).await?.request(request).await
    }

    /// Returns the open stream of commands to `node`, or opens one, which takes a round trip.
    ///
    /// # Errors
    /// A [`RequestError`]; no command was sent.
    pub(crate) async fn proposal_stream(
        &self,
        node: NodeId,
    ) -> Result<ProposalStream, RequestError> {
        let connection = &self.connection(node).await?;
        if let Some((number, stream)) = self.proposals().get(&node)
            && *number == connection.number()
            && !stream.is_closed()
        {
            return Ok(stream.clone());
        }
        let opened = ProposalStream::open(connection.client.clone()).await;
        let opened = self.handle_response(node, connection, opened.map(Response::new));
        // No command was sent on a stream that did not open.
        let stream = opened.map_err(|error| RequestError::NotSent(error.to_string()))?;
        self.proposals().insert(node, (connection.number(), stream.clone()));
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
        self.request(node, async |mut client| client.read_index(request).await).await
    }

    /// Requests the applied position of `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn position(&self, node: NodeId) -> Result<proto::PositionResponse, RequestError> {
        self.request(node, async |mut client| client.position(proto::PositionRequest {}).await)
            .await
    }

    /// Requests the unit loads of the agent of `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn loads(&self, node: NodeId) -> Result<proto::LoadsResponse, RequestError> {
        self.request(node, async |mut client| client.loads(proto::LoadsRequest {}).await).await
    }

    /// Requests the leader's view of the members from `node`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn membership(
        &self,
        node: NodeId,
    ) -> Result<proto::MembershipResponse, RequestError> {
        self.request(node, async |mut client| client.membership(proto::MembershipRequest {}).await)
            .await
    }

    /// Sends what the probes of this node found to `node`, the leader.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub(crate) async fn report_probes(
        &self,
        node: NodeId,
        request: proto::ReportProbesRequest,
    ) -> Result<proto::ReportProbesResponse, RequestError> {
        self.request(node, async |mut client| client.report_probes(request).await).await
    }

    /// Requests the votes that `node`, the leader, counted.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub(crate) async fn count_votes(
        &self,
        node: NodeId,
    ) -> Result<proto::CountVotesResponse, RequestError> {
        let request = proto::CountVotesRequest {};
        self.request(node, async |mut client| client.count_votes(request).await).await
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
        let request = proto::TransferLeadershipRequest { to: to.0 };
        self.request(node, async |mut client| client.transfer_leadership(request).await).await
    }

    /// Requests the wall clock of `node`. Also introduces this node to it.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub(crate) async fn ping(&self, node: NodeId) -> Result<proto::PingResponse, RequestError> {
        let request = proto::PingRequest {};
        self.request(node, async |mut client| client.ping(request).await).await
    }

    /// Returns a watch of reports of an older process with the id of this node.
    pub(crate) fn older_process(&self) -> watch::Receiver<Option<Address>> {
        self.older_process.subscribe()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Informs `node` that `moved` is at `address`.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub(crate) async fn introduce(
        &self,
        node: NodeId,
        moved: NodeId,
        address: &Address,
    ) -> Result<(), RequestError> {
        let request = proto::IntroduceRequest { node: moved.0, address: address.to_string() };
        self.request(node, async |mut client| client.introduce(request).await).await.map(drop)
    }

    /// Returns the dialer that opens the connections.
    pub(crate) fn dialer(&self) -> &Dialer {
        self.pool.dialer()
    }

    /// Returns the node id and address of every member.
    pub fn members(&self) -> Vec<(NodeId, Address)> {
        let membership = self.metrics.borrow_watched().membership_config.clone();
        membership.nodes().map(|(node, member)| (*node, member.address.clone())).collect()
    }

    async fn connection(&self, node: NodeId) -> Result<Connection, RequestError> {
        if self.pool.book().address(node).is_none() {
            // A member that was added since the addresses were last copied from the log.
            for (member, address) in self.members() {
                self.pool.book().record_member(member, &address);
            }
        }
        self.pool.connection(node, Lane::Request).await.map_err(RequestError::NotSent)
    }

    async fn request<T>(
        &self,
        node: NodeId,
        send: impl AsyncFnOnce(Client) -> Result<Response<T>, Status>,
    ) -> Result<T, RequestError> {
        let connection = self.connection(node).await?;
        connection.record_request();
        let response = send(connection.client.clone()).await;
        self.handle_response(node, &connection, response)
    }

    /// Returns the message of a response. An error discards the connection.
    fn handle_response<T>(
        &self,
        node: NodeId,
        connection: &Connection,
        response: Result<Response<T>, Status>,
    ) -> Result<T, RequestError> {
        connection.record_response();
        response.map(Response::into_inner).map_err(|status| {
            self.pool.discard(node, Lane::Request, connection);
            if let Some(address) = older_process(&status) {
                self.older_process.send_replace(Some(address));
            }
            // The status may be local: the node may not have responded.
            let cause = format!("request to {node} failed: {}", describe(&status));
            match status.code() {
                // Returned before the receiver processes a request.
                Code::FailedPrecondition | Code::Unimplemented => RequestError::NotSent(cause),
                _ => RequestError::OutcomeUnknown(cause),
            }
        })
    }

    fn proposals(&self) -> MutexGuard<'_, BTreeMap<NodeId, (u64, ProposalStream)>> {
        self.proposals.lock().expect("no holder of this lock panics")
    }
}

fn older_process(status: &Status) -> Option<Address> {
    Address::new(status.metadata().get(DUPLICATE)?.to_str().ok()?).ok()
}
