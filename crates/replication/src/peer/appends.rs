//! One stream of appends to a member, and its answers.
//!
//! openraft makes the requests of one stream after the other from a state that these share. But a task
//! of gRPC owns the requests of a call, and takes from them until it notices that the call was given
//! up. It then takes, for nobody, what the next stream was to begin with. Once that stream has ended
//! without a request, openraft (0.10.0-alpha.37, `ReplicationCore::select_next_payload`) begins again
//! with the oldest command that it still knows, whose entries may be purged, and sends the member
//! nothing else until the leader changes. So the requests of a stream end with its answers, at once, and
//! gRPC's task is woken to see it: as long as it waits, the stream stays open at the member, and so does
//! its connection.

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
use super::message::{unwrap, wrap};

/// The requests of one stream, and the end of them.
pub(super) fn requests<S>(input: S) -> (Requests, Sending)
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
{
    let calls = Calls { left: Some(input.boxed()), unanswered: VecDeque::new() };
    let shared = Arc::new(Shared { calls: Mutex::new(calls), taker: AtomicWaker::new() });
    (Requests(shared.clone()), Sending(shared))
}

struct Shared {
    calls: Mutex<Calls>,
    /// Wakes gRPC's task.
    taker: AtomicWaker,
}

struct Calls {
    /// What openraft still has to send. None once nobody waits for the answers.
    left: Option<BoxStream<'static, AppendEntriesRequest<TypeConfig>>>,
    /// When each request was taken that has no answer yet, the oldest first.
    unanswered: VecDeque<Instant>,
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What gRPC's task takes requests from.
pub(super) struct Requests(Arc<Shared>);

impl Stream for Requests {
    type Item = proto::RaftMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Before the look: an end that comes between the two is not missed.
        self.0.taker.register(cx.waker());
        let Calls { left, unanswered } = &mut *self.0.calls();
        let Some(requests) = left else { return Poll::Ready(None) };
        requests.poll_next_unpin(cx).map(|next| {
            let request = next?;
            unanswered.push_back(Instant::now());
            Some(wrap(request))
        })
    }
}

/// Held as long as answers are waited for; dropped, it ends the requests.
pub(super) struct Sending(Arc<Shared>);

impl Sending {
    /// Requests that were taken and have no answer yet.
    fn unanswered(&self) -> usize {
        self.0.calls().unanswered.len()
    }

    /// The oldest one has its answer.
    fn answered(&self) {
        self.0.calls().unanswered.pop_front();
    }

    /// Until when the next answer has to come. Where none is due, until when one cannot be overdue.
    fn deadline(&self, patience: Duration) -> Instant {
        self.0.calls().unanswered.front().copied().unwrap_or_else(Instant::now) + patience
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let left = self.0.calls().left.take();
        drop(left);
        self.0.taker.wake();
    }
}

/// The answers to one stream of appends.
pub(super) struct Answers {
    pub stream: Streaming<proto::RaftMessage>,
    pub sending: Sending,
    /// How long an append may be without an answer.
    pub patience: Duration,
}

type Step = Option<(Result<StreamAppendResult<TypeConfig>, RpcError>, Option<Answers>)>;

/// The next answer; after an error or a refusal, the stream ends.
pub(super) async fn next_result(answers: Option<Answers>) -> Step {
    let mut answers = answers?;
    loop {
        let deadline = answers.sending.deadline(answers.patience);
        match timeout_at(deadline, answers.stream.message()).await {
            Ok(Ok(Some(message))) => {
                answers.sending.answered();
                return Some(match unwrap::<StreamAppendResult<TypeConfig>>(&message) {
                    Ok(Ok(matching)) => (Ok(Ok(matching)), Some(answers)),
                    Ok(Err(refused)) => (Ok(Err(refused)), None),
                    Err(status) => (Err(network_error(describe(&status))), None),
                });
            }
            // Openraft takes the quiet end of a stream for the answer to all that it sent.
            Ok(Ok(None)) => {
                let unanswered = answers.sending.unanswered();
                let cut = || network_error(format!("the stream ended {unanswered} answers early"));
                return (unanswered > 0).then(|| (Err(cut()), None));
            }
            Ok(Err(status)) => return Some((Err(network_error(describe(&status))), None)),
            Err(_) if answers.sending.deadline(answers.patience) <= Instant::now() => {
                let silent = format!("no answer to an append for {:?}", answers.patience);
                return Some((Err(network_error(silent)), None));
            }
            // A request was sent while none was due: its time is not up.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
