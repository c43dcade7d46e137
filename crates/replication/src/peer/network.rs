//! openraft's connections to other members. Each object of [`Network`] is one connection of its own:
//! openraft asks for one for appends, one for heartbeats and one for snapshots.

use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt};
use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, NodeId};
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

use super::appends::{self, Answers, next_result};
use super::connection::{Client, connect};
use super::error::{RpcError, describe, network_error};
use super::identity::Headers;
use super::message::{unwrap, wrap};
use super::snapshot;
use crate::timing::Timing;

/// Makes connections for openraft.
#[derive(Clone)]
pub struct Factory {
    pub cluster: ClusterId,
    pub timing: Timing,
    pub dialer: Dialer,
    /// Where the events of a snapshot are read from.
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

/// One connection to one member, opened when first used and again after each error.
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

    /// The answer to a call; an error drops the connection, so that the next call opens a new one.
    fn answered<T>(&mut self, answer: Result<Response<T>, Status>) -> Result<T, RpcError> {
        answer.map(Response::into_inner).map_err(|status| {
            self.client = None;
            RPCError::Unreachable(Unreachable::from_string(describe(&status)))
        })
    }

    /// Opens a stream of appends.
    async fn begin_appends<S>(&mut self, input: S) -> Result<Answers, RpcError>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let patience = self.patience();
        let mut client = self.client().await?;
        let (requests, sending) = appends::requests(input);
        let answer = tokio::time::timeout(patience, client.append(requests)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        Ok(Answers { stream: self.answered(answer)?, sending, patience })
    }

    /// Between two attempts to reach a dead member: about as often as heartbeats go out, so that it
    /// is back within an election time-out of its return.
    fn pause(&self) -> Duration {
        self.timing.heartbeat * 2
    }

    /// How long an append may be without an answer before its connection is given up: a member that
    /// hangs is treated as one that is gone.
    fn patience(&self) -> Duration {
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
            let began = Instant::now();
            let answers = match self.begin_appends(input).await {
                Ok(answers) => answers,
                Err(error) => {
                    // openraft's own wait comes with the first request that is taken from `input`:
                    // without this one, a member that refuses connections is dialled without a pause.
                    sleep_until(began + self.pause()).await;
                    return Err(error);
                }
            };
            let connection = &mut self.client;
            let results = futures::stream::unfold(Some(answers), next_result);
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
        let mut client = self.client().await?;
        let answer = in_time(option, client.vote(wrap(request))).await;
        let answer = self.answered(answer)?;
        unwrap(&answer).map_err(|status| network_error(describe(&status)))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let mut client = self.client().await?;
        let answer = in_time(option, client.pre_vote(wrap(request))).await;
        let answer = self.answered(answer)?;
        unwrap(&answer).map_err(|status| network_error(describe(&status)))
    }
}

impl NetTransferLeader<TypeConfig> for Network {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let mut client = self.client().await?;
        let answer = in_time(option, client.transfer_leader(wrap(request))).await;
        let answer = self.answered(answer)?;
        unwrap(&answer).map_err(|status| network_error(describe(&status)))
    }
}

/// The answer, or that there was none within openraft's own limit.
async fn in_time<T>(
    option: RPCOption,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    let answer = tokio::time::timeout(option.soft_ttl(), call).await;
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
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
        Some(Backoff::new(std::iter::repeat(self.pause())))
    }
}
