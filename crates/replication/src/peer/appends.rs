//! One stream of appends to a member, and its responses.
//!
//! openraft creates the requests of successive streams from one shared state. But the requests of a
//! gRPC call are owned by a task of the gRPC client, which keeps taking requests until it notices
//! that the call was abandoned. A request that is taken this late is lost, and it is the one that
//! the next stream should have started with. If that next stream then ends without a request,
//! openraft (0.10.0-alpha.37, `ReplicationCore::select_next_payload`) restarts with the oldest
//! command that it still holds, whose entries may be purged, and sends the member nothing else
//! until the leader changes.
//!
//! Therefore the requests of a stream end as soon as its responses are dropped, and the gRPC task
//! is woken to notice: as long as it sleeps, the stream and its connection stay open at the member.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use meridian_proto::v1 as proto;
use meridian_storage::raft::TypeConfig;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use super::error::{RpcError, describe, network_error};
use super::message::{decode, encode};

/// Splits the requests of one stream into the stream for gRPC and the guard that ends it.
pub(super) fn requests<S>(input: S) -> (Requests, RequestsGuard)
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
{
    let state = State { input: Some(input.boxed()), awaiting_response: VecDeque::new() };
    let shared = Arc::new(Shared { state: Mutex::new(state), grpc_task: AtomicWaker::new() });
    (Requests(shared.clone()), RequestsGuard(shared))
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the gRPC task.
    grpc_task: AtomicWaker,
}

struct State {
    /// Requests that openraft has still to send. `None` once the guard is dropped.
    input: Option<BoxStream<'static, AppendEntriesRequest<TypeConfig>>>,
    /// Times at which the requests without a response were taken, the oldest first.
    awaiting_response: VecDeque<Instant>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests for the gRPC task.
pub(super) struct Requests(Arc<Shared>);

impl Stream for Requests {
    type Item = proto::RaftMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Registered before the state is read, so that a drop of the guard in between is not
        // missed.
        self.0.grpc_task.register(cx.waker());
        let State { input, awaiting_response } = &mut *self.0.state();
        let Some(input) = input else { return Poll::Ready(None) };
        input.poll_next_unpin(cx).map(|next| {
            let request = next?;
            awaiting_response.push_back(Instant::now());
            Some(encode(request))
        })
    }
}

/// Ends the requests when dropped. Held as long as responses are awaited.
pub(super) struct RequestsGuard(Arc<Shared>);

impl RequestsGuard {
    /// Returns the number of requests that were taken and have no response yet.
    fn awaiting_response(&self) -> usize {
        self.0.state().awaiting_response.len()
    }

    /// Records the response to the oldest request.
    fn record_response(&self) {
        self.0.state().awaiting_response.pop_front();
    }

    /// Returns the deadline of the next response. If no response is due, returns the earliest
    /// deadline of a request taken from now on.
    fn deadline(&self, timeout: Duration) -> Instant {
        let oldest = self.0.state().awaiting_response.front().copied();
        oldest.unwrap_or_else(Instant::now) + timeout
    }
}

impl Drop for RequestsGuard {
    fn drop(&mut self) {
        let input = self.0.state().input.take();
        drop(input);
        self.0.grpc_task.wake();
    }
}

/// Responses to one stream of appends.
pub(super) struct Responses {
    pub stream: Streaming<proto::RaftMessage>,
    pub requests: RequestsGuard,
    /// Timeout for the response to an append.
    pub timeout: Duration,
}

type Step = Option<(Result<StreamAppendResult<TypeConfig>, RpcError>, Option<Responses>)>;

/// Returns the next response. The stream ends after an error, a conflict or a higher vote.
pub(super) async fn next_result(responses: Option<Responses>) -> Step {
    let mut responses = responses?;
    loop {
        let deadline = responses.requests.deadline(responses.timeout);
        match timeout_at(deadline, responses.stream.message()).await {
            Ok(Ok(Some(message))) => {
                responses.requests.record_response();
                return Some(match decode::<StreamAppendResult<TypeConfig>>(&message) {
                    Ok(Ok(matching)) => (Ok(Ok(matching)), Some(responses)),
                    Ok(Err(error)) => (Ok(Err(error)), None),
                    Err(status) => (Err(network_error(describe(&status))), None),
                });
            }
            // openraft interprets a clean end of the stream as the response to all requests.
            Ok(Ok(None)) => {
                let missing = responses.requests.awaiting_response();
                let error = || {
                    network_error(format!("append stream ended with {missing} responses missing"))
                };
                return (missing > 0).then(|| (Err(error()), None));
            }
            Ok(Err(status)) => return Some((Err(network_error(describe(&status))), None)),
            Err(_) if responses.requests.deadline(responses.timeout) <= Instant::now() => {
                let cause = format!("no response to an append within {:?}", responses.timeout);
                return Some((Err(network_error(cause)), None));
            }
            // No response was due when this wait started; a request taken since then has a later
            // deadline.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
