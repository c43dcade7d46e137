//! Connections over which commands and reads are forwarded: one a node, opened when first needed,
//! dropped on the first error so that the next call resolves the name again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_proto::v1::{self as proto};
use meridian_storage::raft::TypeConfig;
use meridian_transport::Dialer;
use openraft::async_runtime::WatchReceiver as _;
use openraft::type_config::alias::WatchReceiverOf;
use tonic::{Code, Response, Status};

use super::connection::{CallError, Client, connect};
use super::identity::Headers;
use super::proposals::Proposals;
use crate::instance::Raft;

/// The connections of one node to all others.
pub struct Links {
    cluster: ClusterId,
    dialer: Dialer,
    patience: Duration,
    metrics: WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>,
    open: Mutex<BTreeMap<NodeId, Client>>,
    proposals: Mutex<BTreeMap<NodeId, Proposals>>,
}

impl Links {
    /// Links to the members that `raft` knows of.
    pub(crate) fn new(cluster: ClusterId, raft: &Raft, dialer: Dialer, patience: Duration) -> Self {
        let (open, proposals) = Default::default();
        Self { cluster, dialer, patience, metrics: raft.server_metrics(), open, proposals }
    }

    /// Takes a command to `node`.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn propose(
        &self,
        node: NodeId,
        request: proto::ProposeRequest,
    ) -> Result<proto::ProposeResponse, CallError> {
        let open = self.proposals().get(&node).filter(|open| !open.has_ended()).cloned();
        let proposals = match open {
            Some(open) => open,
            None => self.open_proposals(node).await?,
        };
        proposals.ask(request).await
    }

    async fn open_proposals(&self, node: NodeId) -> Result<Proposals, CallError> {
        let opened = Proposals::open(self.client(node).await?).await;
        // Nothing was said on a stream that did not open.
        let opened = self.answered(node, opened.map(Response::new));
        let opened = opened.map_err(|error| CallError::NotSent(error.to_string()))?;
        self.proposals().insert(node, opened.clone());
        Ok(opened)
    }

    /// Asks `node` for a read index.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn read_index(
        &self,
        node: NodeId,
        request: proto::ReadIndexRequest,
    ) -> Result<proto::ReadIndexResponse, CallError> {
        let mut client = self.client(node).await?;
        self.answered(node, client.read_index(request).await)
    }

    /// Asks `node` how far it is.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn position(&self, node: NodeId) -> Result<proto::PositionResponse, CallError> {
        let mut client = self.client(node).await?;
        self.answered(node, client.position(proto::PositionRequest {}).await)
    }

    /// Asks `node` how busy its units are.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn loads(&self, node: NodeId) -> Result<proto::LoadsResponse, CallError> {
        let mut client = self.client(node).await?;
        self.answered(node, client.loads(proto::LoadsRequest {}).await)
    }

    /// Asks `node` what it knows of each member.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn membership(&self, node: NodeId) -> Result<proto::MembershipResponse, CallError> {
        let mut client = self.client(node).await?;
        self.answered(node, client.membership(proto::MembershipRequest {}).await)
    }

    /// Asks `node` to hand leadership to `to`.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn hand_over(
        &self,
        node: NodeId,
        to: NodeId,
    ) -> Result<proto::HandOverResponse, CallError> {
        let mut client = self.client(node).await?;
        self.answered(node, client.hand_over(proto::HandOverRequest { to: to.0 }).await)
    }

    /// What it opens them with.
    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Every member's node id and address.
    pub fn members(&self) -> Vec<(NodeId, Address)> {
        let membership = self.metrics.borrow_watched().membership_config.clone();
        membership.nodes().map(|(node, member)| (*node, member.address.clone())).collect()
    }

    async fn client(&self, node: NodeId) -> Result<Client, CallError> {
        if let Some(client) = self.open().get(&node) {
            return Ok(client.clone());
        }
        let members = self.members();
        let address = members.into_iter().find(|(member, _)| *member == node);
        let (_, address) =
            address.ok_or_else(|| CallError::NotSent(format!("{node} is not a member")))?;
        let headers = Headers::new(self.cluster, node);
        let client = connect(&self.dialer, &address, headers, self.patience)
            .await
            .map_err(CallError::NotSent)?;
        self.open().insert(node, client.clone());
        Ok(client)
    }

    fn answered<T>(
        &self,
        node: NodeId,
        answer: Result<Response<T>, Status>,
    ) -> Result<T, CallError> {
        answer.map(Response::into_inner).map_err(|status| {
            self.open().remove(&node);
            let cause = format!("{node} answered {:?}: {}", status.code(), status.message());
            match status.code() {
                // The other side says so before it looks at the call.
                Code::FailedPrecondition | Code::Unimplemented => CallError::NotSent(cause),
                _ => CallError::Unanswered(cause),
            }
        })
    }

    fn proposals(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Proposals>> {
        self.proposals.lock().expect("no holder of the links panics")
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Client>> {
        self.open.lock().expect("no holder of the links panics")
    }
}
