//! One stream of appends to a member, and its answers.
//!
//! openraft makes the requests of one stream after the other from a state that these share. But a task
//! of gRPC owns the requests of a call, and takes from them until it notices that the call was given
//! up. It then takes, for nobody, what the next stream was to begin with. Once that stream has ended
//! without a request, openraft (0.10.0-alpha.37, `ReplicationCore::select_next_payload`) begins again
//! with the oldest command that it still knows, whose entries may be purged, and sends the member
//! nothing else until the leader changes. So the requests of a stream end with its answers, at once.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use meridian_proto::v1 as proto;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tonic::Streaming;

use super::message::{unwrap, wrap};
use super::network::{RpcError, describe, network_error};
use crate::raft::TypeConfig;

/// The requests of one stream, and the end of them.
pub(super) fn requests<S>(input: S) -> (Requests, Sending)
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
{
    let shared =
        Arc::new(Shared { left: Mutex::new(Some(input.boxed())), sent: AtomicU64::new(0) });
    (Requests(shared.clone()), Sending(shared))
}

struct Shared {
    /// What openraft still has to send. None once nobody waits for the answers.
    left: Mutex<Option<BoxStream<'static, AppendEntriesRequest<TypeConfig>>>>,
    sent: AtomicU64,
}

impl Shared {
    fn left(&self) -> MutexGuard<'_, Option<BoxStream<'static, AppendEntriesRequest<TypeConfig>>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What gRPC's task takes requests from.
pub(super) struct Requests(Arc<Shared>);

impl Stream for Requests {
    type Item = proto::RaftMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut left = self.0.left();
        let Some(requests) = &mut *left else { return Poll::Ready(None) };
        requests.poll_next_unpin(cx).map(|next| {
            let request = next?;
            self.0.sent.fetch_add(1, Ordering::Relaxed);
            Some(wrap(request))
        })
    }
}

/// Held as long as answers are waited for; dropped, it ends the requests.
pub(super) struct Sending(Arc<Shared>);

impl Sending {
    /// Requests that were taken so far.
    fn count(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        *self.0.left() = None;
    }
}

/// The answers to one stream of appends.
pub(super) struct Answers {
    pub stream: Streaming<proto::RaftMessage>,
    pub sending: Sending,
    /// How many came.
    pub received: u64,
    /// How long an append may be without one.
    pub patience: Duration,
}

type Step = Option<(Result<StreamAppendResult<TypeConfig>, RpcError>, Option<Answers>)>;

/// The next answer; after an error or a refusal, the stream ends.
pub(super) async fn next_result(answers: Option<Answers>) -> Step {
    let mut answers = answers?;
    loop {
        let before = answers.received;
        match tokio::time::timeout(answers.patience, answers.stream.message()).await {
            Ok(Ok(Some(message))) => {
                answers.received += 1;
                return Some(match unwrap::<StreamAppendResult<TypeConfig>>(&message) {
                    Ok(Ok(matching)) => (Ok(Ok(matching)), Some(answers)),
                    Ok(Err(refused)) => (Ok(Err(refused)), None),
                    Err(status) => (Err(network_error(describe(&status))), None),
                });
            }
            // Openraft takes the quiet end of a stream for the answer to all that it sent.
            Ok(Ok(None)) => {
                let unanswered = answers.sending.count().saturating_sub(answers.received);
                let cut = || network_error(format!("the stream ended {unanswered} answers early"));
                return (unanswered > 0).then(|| (Err(cut()), None));
            }
            Ok(Err(status)) => return Some((Err(network_error(describe(&status))), None)),
            Err(_) if answers.sending.count() > before => {
                let silent = format!("no answer to an append for {:?}", answers.patience);
                return Some((Err(network_error(silent)), None));
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn requests_end_at_once_with_their_answers() {
        let held = Arc::new(());
        let guard = held.clone();
        let input = futures::stream::poll_fn(move |_| {
            let _held = &guard;
            Poll::Pending
        });
        let (mut requests, sending) = requests(input);
        assert!(poll_fn(|cx| Poll::Ready(requests.poll_next_unpin(cx).is_pending())).await);
        drop(sending);
        assert_eq!(Arc::strong_count(&held), 1, "what openraft gave is dropped");
        assert!(requests.next().await.is_none());
    }
}
