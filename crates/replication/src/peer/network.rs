//! openraft's connections to other members. Each [`Network`] is a separate connection: for each
//! member, openraft creates one for appends, one for heartbeats and one for snapshots.

use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt};
use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
use meridian_proto::v1 as proto;
use meridian_storage::raft::{Member, TypeConfig, Vote};
use meridian_storage::snapshot::Snapshot;
use meridian_storage::store::Store;
use meridian_transport::Dialer;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use tokio::time::{Instant, sleep_until};
use tonic::{Response, Status};

use super::appends::{self, Responses, next_result};
use super::connection::{Client, connect};
use super::error::{RpcError, describe, network_error};
use super::identity::Headers;
use super::message::{decode, encode};
use super::snapshot;
use super::wire::Message;
use crate::timing::Timing;

/// Creates connections for openraft.
#[derive(Clone)]
pub struct Factory {
    pub cluster: ClusterId,
    pub timing: Timing,
    pub dialer: Dialer,
    /// Store from which the events of a snapshot are read.
    pub store: Store,
}

impl openraft::RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Network {
        Network {
            headers: Headers::new(self.cluster, target),
            address: node.address.clone(),
            timing: self.timing,
            dialer: self.dialer.clone(),
            store: self.store.clone(),
            client: None,
        }
    }
}

/// Connection to one member, opened when first used and reopened after each error.
pub struct Network {
    headers: Headers,
    address: Address,
    timing: Timing,
    dialer: Dialer,
    store: Store,
    client: Option<Client>,
}

impl Network {
    async fn client(&mut self) -> Result<Client, RpcError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let opened =
            connect(&self.dialer, &self.address, self.headers.clone(), self.timing.connect).await;
        let client = opened.map_err(Unreachable::from_string)?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Returns the message of a response. An error drops the connection, so that the next request
    /// opens a new one.
    fn handle_response<T>(&mut self, response: Result<Response<T>, Status>) -> Result<T, RpcError> {
        response.map(Response::into_inner).map_err(|status| {
            self.client = None;
            RPCError::Unreachable(Unreachable::from_string(describe(&status)))
        })
    }

    /// Sends a message of openraft with `send`, and returns the response.
    async fn request<M, R, F>(
        &mut self,
        request: M,
        option: RPCOption,
        send: impl FnOnce(Client, proto::RaftMessage) -> F,
    ) -> Result<R, RpcError>
    where
        M: Message,
        R: Message,
        F: Future<Output = Result<Response<proto::RaftMessage>, Status>>,
    {
        let sent = send(self.client().await?, encode(request));
        let response = with_timeout(option.soft_ttl(), sent).await;
        let message = self.handle_response(response)?;
        decode(&message).map_err(|status| network_error(describe(&status)))
    }

    /// Opens a stream of appends.
    async fn open_append_stream<S>(&mut self, input: S) -> Result<Responses, RpcError>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let timeout = self.append_timeout();
        let mut client = self.client().await?;
        let (requests, guard) = appends::requests(input);
        let response = with_timeout(timeout, client.append(requests)).await;
        Ok(Responses { stream: self.handle_response(response)?, requests: guard, timeout })
    }

    /// Interval between attempts to connect to an unreachable member: close to the heartbeat
    /// interval, so that a member that returns hears from the leader within an election timeout.
    fn retry_interval(&self) -> Duration {
        self.timing.heartbeat * 2
    }

    /// Timeout of an append, after which the connection is closed: a member that hangs is handled
    /// like an unreachable one.
    fn append_timeout(&self) -> Duration {
        (self.timing.election_max * 2).max(Duration::from_secs(1))
    }
}

impl NetStreamAppend<TypeConfig> for Network {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let started = Instant::now();
            let responses = match self.open_append_stream(input).await {
                Ok(responses) => responses,
                Err(error) => {
                    // openraft's own backoff applies only once a request is taken from `input`.
                    // Without this delay, a member that refuses connections would be dialed in a
                    // busy loop.
                    sleep_until(started + self.retry_interval()).await;
                    return Err(error);
                }
            };
            let connection = &mut self.client;
            let results = futures::stream::unfold(Some(responses), next_result);
            let results = results.inspect(move |result| {
                if result.is_err() {
                    *connection = None;
                }
            });
            Ok(Box::pin(results) as BoxStream<'s, _>)
        })
    }
}

impl NetVote<TypeConfig> for Network {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let send = |mut client: Client, message| async move { client.vote(message).await };
        self.request(request, option, send).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let send = |mut client: Client, message| async move { client.pre_vote(message).await };
        self.request(request, option, send).await
    }
}

impl NetTransferLeader<TypeConfig> for Network {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let send =
            |mut client: Client, message| async move { client.transfer_leader(message).await };
        self.request(request, option, send).await
    }
}

/// Returns the response, or the status `DEADLINE_EXCEEDED` after `timeout`.
async fn with_timeout<T>(
    timeout: Duration,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    let response = tokio::time::timeout(timeout, request).await;
    response.unwrap_or_else(|_| {
        Err(Status::deadline_exceeded(format!("no response within {timeout:?}")))
    })
}

impl NetSnapshot<TypeConfig> for Network {
    type SnapshotData = Snapshot;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, Snapshot>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self.client().await.map_err(|error| match error {
            RPCError::Unreachable(unreachable) => StreamingError::Unreachable(unreachable),
            other => StreamingError::Network(NetworkError::from_string(other)),
        })?;
        let store = self.store.clone();
        let sent = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            sent = snapshot::send(client, store, vote, snapshot) => sent,
        };
        sent.map_err(|status| {
            self.client = None;
            StreamingError::Network(NetworkError::from_string(describe(&status)))
        })
    }
}

impl NetBackoff<TypeConfig> for Network {
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(self.retry_interval())))
    }
}
