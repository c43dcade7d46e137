//! openraft's requests to other members, over the connections of the [`Pool`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use meridian_domain::NodeId;
use meridian_proto::v1 as proto;
use meridian_storage::raft::{Member, TypeConfig, Vote};
use meridian_storage::snapshot::Snapshot;
use meridian_storage::store::Store;
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
use super::error::{RpcError, describe, network_error};
use super::message::{decode, encode};
use super::pool::{Client, Connection, Lane, Pool};
use super::snapshot;
use super::wire::Message;
use crate::timing::Timing;

/// Creates the networks of openraft.
#[derive(Clone)]
pub struct Factory {
    pub pool: Arc<Pool>,
    pub timing: Timing,
    /// Store from which the events of a snapshot are read.
    pub store: Store,
}

impl openraft::RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Network {
        self.pool.book().record_member(target, &node.address);
        let (pool, timing, store) = (Arc::clone(&self.pool), self.timing, self.store.clone());
        Network { target, pool, timing, store }
    }
}

/// Requests to one member. Looks up its connection for each request.
pub struct Network {
    target: NodeId,
    pool: Arc<Pool>,
    timing: Timing,
    store: Store,
}

impl Network {
    async fn connection(&self, lane: Lane) -> Result<Connection, RpcError> {
        let connection = self.pool.connection(self.target, lane).await;
        connection.map_err(|cause| RPCError::Unreachable(Unreachable::from_string(cause)))
    }

    /// Returns the message of a response. An error discards the connection, so that the next request
    /// dials a new one.
    fn handle_response<T>(
        &self,
        lane: Lane,
        connection: &Connection,
        response: Result<Response<T>, Status>,
    ) -> Result<T, RpcError> {
        response.map(Response::into_inner).map_err(|status| {
            self.pool.discard(self.target, lane, connection);
            RPCError::Unreachable(Unreachable::from_string(describe(&status)))
        })
    }

    /// Sends a message of openraft with `send`, and returns the response.
    async fn request<M, R, F>(
        &mut self,
        request: M,
        send: impl FnOnce(Client, proto::RaftMessage) -> F,
    ) -> Result<R, RpcError>
    where
        M: Message,
        R: Message,
        F: Future<Output = Result<Response<proto::RaftMessage>, Status>>,
    {
        let connection = self.connection(Lane::Control).await?;
        connection.record_request();
        // openraft cancels the request at its timeout. The connection stays: on a lossy link, a
        // response may be late without being lost.
        let response = send(connection.client.clone(), encode(request)).await;
        let message = self.handle_response(Lane::Control, &connection, response)?;
        connection.record_response();
        decode(&message).map_err(|status| network_error(describe(&status)))
    }

    /// Opens a stream of appends.
    async fn open_append_stream<S>(
        &self,
        lane: Lane,
        input: S,
    ) -> Result<(Connection, Responses), RpcError>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let connection = self.connection(lane).await?;
        let timeout = self.timing.silence;
        let mut client = connection.client.clone();
        let (requests, guard) = appends::requests(input);
        if lane == Lane::Control {
            connection.record_request();
        }
        let response = with_timeout(timeout, client.append(requests)).await;
        let stream = self.handle_response(lane, &connection, response)?;
        Ok((connection, Responses { stream, requests: guard, timeout }))
    }

    /// Interval between attempts to connect to an unreachable member: close to the heartbeat
    /// interval, so that a member that returns hears from the leader within an election timeout.
    fn retry_interval(&self) -> Duration {
        self.timing.heartbeat * 2
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
        // A heartbeat is a stream of exactly one request; that of a log is unbounded.
        let is_heartbeat = input.size_hint().1 == Some(1);
        let lane = if is_heartbeat { Lane::Control } else { Lane::Append };
        Box::pin(async move {
            let started = Instant::now();
            let (connection, responses) = match self.open_append_stream(lane, input).await {
                Ok(opened) => opened,
                Err(error) => {
                    // openraft's own backoff applies only once a request is taken from `input`.
                    // Without this delay, a member that refuses connections would be dialed in a
                    // busy loop.
                    sleep_until(started + self.retry_interval()).await;
                    return Err(error);
                }
            };
            let results = futures::stream::unfold(Some(responses), next_result);
            let results = results.inspect(move |result| match result {
                Ok(_) => connection.record_response(),
                Err(_) => self.pool.discard(self.target, lane, &connection),
            });
            Ok(Box::pin(results) as BoxStream<'s, _>)
        })
    }
}

impl NetVote<TypeConfig> for Network {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let send = |mut client: Client, message| async move { client.vote(message).await };
        self.request(request, send).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let send = |mut client: Client, message| async move { client.pre_vote(message).await };
        self.request(request, send).await
    }
}

impl NetTransferLeader<TypeConfig> for Network {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let send =
            |mut client: Client, message| async move { client.transfer_leader(message).await };
        self.request(request, send).await
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
        let connection = self.pool.connection(self.target, Lane::Snapshot).await;
        let connection = connection
            .map_err(|cause| StreamingError::Unreachable(Unreachable::from_string(cause)))?;
        let client = connection.client.clone();
        let store = self.store.clone();
        let sent = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            sent = snapshot::send(client, store, vote, snapshot) => sent,
        };
        sent.map_err(|status| {
            self.pool.discard(self.target, Lane::Snapshot, &connection);
            StreamingError::Network(NetworkError::from_string(describe(&status)))
        })
    }
}

impl NetBackoff<TypeConfig> for Network {
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(self.retry_interval())))
    }
}
