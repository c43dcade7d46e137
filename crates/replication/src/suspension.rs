//! Suspension of this node: it takes no part in Raft while its disk does not respond.
//!
//! A suspended node sends no heartbeats, starts no election, proposes nothing, and refuses votes,
//! appends, snapshots, proposals and read indexes of the other members. So they treat it like a node
//! that is down, and one of them leads. [`crate::disk_watch`] begins and ends the suspension.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;
use tonic::Status;

/// Suspension of this node. Cheap to clone; all clones share one state.
#[derive(Debug, Clone)]
pub struct Suspension {
    cause: Arc<watch::Sender<Option<String>>>,
}

impl Default for Suspension {
    fn default() -> Self {
        Self { cause: Arc::new(watch::Sender::new(None)) }
    }
}

impl Suspension {
    /// Suspends the node because of `cause`, or resumes it.
    pub(crate) fn set(&self, cause: Option<String>) {
        self.cause.send_replace(cause);
    }

    /// Returns the cause while the node is suspended.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.cause.borrow().clone()
    }

    /// Returns true while the node is suspended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.cause.borrow().is_some()
    }

    /// Returns a watch of the cause; `None` while the node is not suspended.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.cause.subscribe()
    }

    /// Waits until the node is suspended, and returns the cause. Cancel-safe.
    pub(crate) async fn begun(&self) -> String {
        self.wait_for(Option::is_some).await.expect("the node is suspended")
    }

    /// Waits until the node is not suspended. Cancel-safe.
    pub(crate) async fn ended(&self) {
        self.wait_for(Option::is_none).await;
    }

    async fn wait_for(&self, condition: fn(&Option<String>) -> bool) -> Option<String> {
        let mut cause = self.cause.subscribe();
        // `self` holds the sender, so the channel is open.
        cause.wait_for(condition).await.expect("the sender is alive").clone()
    }

    /// Checks that the node is not suspended.
    pub(crate) fn check(&self) -> Result<(), Status> {
        self.cause().map_or(Ok(()), |cause| Err(refused(&cause)))
    }

    /// Runs a request of another member to its end, or refuses it once the node is suspended.
    pub(crate) async fn unless_active<T>(
        &self,
        request: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        tokio::select! {
            biased;
            cause = self.begun() => Err(refused(&cause)),
            result = request => result,
        }
    }

    /// Passes on the responses to a stream of requests until the node is suspended; then ends them
    /// with an error.
    pub(crate) fn interrupt<T: Send + 'static>(
        &self,
        responses: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        let suspension = self.clone();
        let begun = async move { suspension.begun().await }.boxed();
        let next = async |state| {
            let (mut responses, mut begun): (BoxStream<'static, _>, BoxFuture<'static, String>) =
                state?;
            tokio::select! {
                biased;
                cause = &mut begun => Some((Err(refused(&cause)), None)),
                response = responses.next() => Some((response?, Some((responses, begun)))),
            }
        };
        stream::unfold(Some((responses.boxed(), begun)), next).boxed()
    }
}

fn refused(cause: &str) -> Status {
    Status::unavailable(format!("this node is suspended: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_refused_while_the_node_is_suspended() {
        let suspension = Suspension::default();
        assert_eq!(suspension.unless_active(async { Ok(1) }).await.expect("is not suspended"), 1);
        let pending = suspension.unless_active(std::future::pending::<Result<(), Status>>());
        let (refused, ()) = tokio::join!(pending, async {
            suspension.set(Some("the disk hangs".to_owned()));
        });
        assert_eq!(refused.expect_err("is suspended").code(), tonic::Code::Unavailable);
        let refused = suspension.unless_active(async { Ok(1) }).await.expect_err("is suspended");
        assert!(refused.message().contains("the disk hangs"), "{refused}");
        suspension.set(None);
        assert_eq!(suspension.unless_active(async { Ok(2) }).await.expect("has resumed"), 2);
    }

    #[tokio::test]
    async fn a_stream_of_responses_ends_with_an_error_once_the_node_is_suspended() {
        let suspension = Suspension::default();
        let open = stream::iter([Ok(1), Ok(2)]).chain(stream::pending());
        let mut responses = suspension.interrupt(open);
        assert_eq!(responses.next().await.expect("is open").expect("is a response"), 1);
        suspension.set(Some("the disk hangs".to_owned()));
        responses.next().await.expect("is not at its end").expect_err("is interrupted");
        assert!(responses.next().await.is_none());

        suspension.set(None);
        let ended = suspension.interrupt(stream::iter([Ok(1)]));
        assert_eq!(ended.count().now_or_never(), Some(1), "a stream that ends has no error");
    }
}
