//! Epochs on the peer port: members of different epochs of a cluster refuse each other.
//!
//! Every request states the epoch of its sender, and every refusal the highest epoch known to the
//! node that refuses. A node that learns of a higher epoch than its own is superseded: an operator
//! recovered the cluster without it. It logs that once, and from then on neither sends nor accepts
//! requests, so that superseded members cannot form a majority that acknowledges changes which
//! would be lost. Its units keep running. It learns of the epoch again after a restart: nothing is
//! stored, so undoing a recovery that was a mistake does not require any file to be edited.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use meridian_domain::{ClusterId, Epoch};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// Header with the epoch of the sender; in a refusal, the highest epoch known to the receiver.
pub(super) const EPOCH: &str = "meridian-epoch";

/// Cluster and epoch of this node. Cheap to clone; all clones share whether it is superseded.
#[derive(Debug, Clone)]
pub struct ClusterEpoch {
    cluster: ClusterId,
    epoch: Epoch,
    superseded: Arc<watch::Sender<Option<Epoch>>>,
}

impl ClusterEpoch {
    /// Creates the epoch of a node that is not superseded.
    #[must_use]
    pub fn new(cluster: ClusterId, epoch: Epoch) -> Self {
        Self { cluster, epoch, superseded: Arc::new(watch::Sender::new(None)) }
    }

    /// Returns the cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the epoch of this node.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns a watch of the epoch that superseded that of this node.
    #[must_use]
    pub fn superseded(&self) -> watch::Receiver<Option<Epoch>> {
        self.superseded.subscribe()
    }

    /// Records the epoch of another member. Logs the first one above that of this node.
    pub(super) fn observe(&self, other: Epoch) {
        let own = self.epoch;
        self.superseded.send_if_modified(|known| {
            let higher = other > known.unwrap_or(own);
            if higher && known.is_none() {
                tracing::error!(
                    epoch = %own, recovered_as = %other,
                    "the cluster was recovered without this agent, which the others now refuse; its \
                     units keep running. Empty its data directory and join it again"
                );
            }
            if higher {
                *known = Some(other);
            }
            higher
        });
    }

    /// Checks that this node may send requests.
    ///
    /// # Errors
    /// If it is superseded.
    pub(super) fn check_current(&self) -> Result<(), Status> {
        match *self.superseded.borrow() {
            None => Ok(()),
            Some(newest) => Err(refusal(newest, self.epoch, "this agent")),
        }
    }

    /// Checks the epoch that a request states.
    ///
    /// # Errors
    /// If it is not that of this node, or this node is superseded.
    pub(super) fn check_request(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let stated = metadata.get(EPOCH).and_then(|value| parse(value.to_str().ok()));
        let Some(stated) = stated else {
            return Err(Status::failed_precondition(format!("{EPOCH} is missing or invalid")));
        };
        self.observe(stated);
        self.check_current()?;
        if stated == self.epoch { Ok(()) } else { Err(refusal(self.epoch, stated, "the sender")) }
    }
}

/// Returns the value of [`EPOCH`].
pub(super) fn header(epoch: Epoch) -> MetadataValue<Ascii> {
    epoch.0.into()
}

fn parse(value: Option<&str>) -> Option<Epoch> {
    value?.parse().ok().map(Epoch)
}

fn refusal(newest: Epoch, old: Epoch, subject: &str) -> Status {
    let mut status = Status::failed_precondition(format!(
        "the cluster was recovered as epoch {newest}, and {subject} is in epoch {old}: empty its data \
         directory and join it again"
    ));
    status.metadata_mut().insert(EPOCH, header(newest));
    status
}

/// Client side of a connection that observes the epochs in refusals.
#[derive(Debug, Clone)]
pub struct ObserveEpoch<S> {
    inner: S,
    epoch: ClusterEpoch,
}

impl<S> ObserveEpoch<S> {
    /// Wraps the client side of a connection of a node in `epoch`.
    pub(super) fn new(inner: S, epoch: ClusterEpoch) -> Self {
        Self { inner, epoch }
    }
}

impl<S, B> Service<Request<Body>> for ObserveEpoch<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (response, epoch) = (self.inner.call(request), self.epoch.clone());
        Box::pin(async move {
            let response = response.await?;
            if let Some(other) = stated(response.headers()) {
                epoch.observe(other);
            }
            Ok(response)
        })
    }
}

fn stated(headers: &HeaderMap) -> Option<Epoch> {
    parse(headers.get(EPOCH)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(epoch: u64) -> ClusterEpoch {
        ClusterEpoch::new(ClusterId(uuid::Uuid::nil()), Epoch(epoch))
    }

    fn request(epoch: u64) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(EPOCH, header(Epoch(epoch)));
        metadata
    }

    #[test]
    fn a_request_of_an_older_epoch_is_refused_with_the_newest_one_and_the_next_step() {
        let node = node(2);
        node.check_request(&request(2)).expect("has the same epoch");
        let refused = node.check_request(&request(1)).expect_err("is older");
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        let message = "the cluster was recovered as epoch 2, and the sender is in epoch 1: empty its \
                       data directory and join it again";
        assert_eq!(refused.message(), message);
        assert_eq!(refused.metadata().get(EPOCH), Some(&header(Epoch(2))));
        node.check_request(&request(2)).expect("is not superseded");
        node.check_request(&MetadataMap::new()).expect_err("states none");
    }

    #[test]
    fn a_superseded_node_neither_accepts_nor_sends_requests() {
        let node = node(0);
        node.check_current().expect("is current");
        let refused = node.check_request(&request(1)).expect_err("is newer");
        assert!(refused.message().contains("this agent is in epoch 0"), "{refused}");
        assert_eq!(*node.superseded().borrow(), Some(Epoch(1)));
        node.check_current().expect_err("is superseded");
        node.check_request(&request(0)).expect_err("is superseded");
    }
}
