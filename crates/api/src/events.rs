//! The event log.

mod watch;

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use meridian_proto::v1;
use meridian_proto::v1::events_server::Events;
use tokio::sync::watch::Receiver;
use tonic::{Request, Response, Status};

use crate::{Ports, deadline};

use watch::Watch;

/// The service `Events` of the contract.
pub(crate) struct EventsApi {
    pub(crate) ports: Ports,
    /// Maximum time without a frame.
    pub(crate) idle: Duration,
    /// Becomes true when the agent shuts down.
    pub(crate) stopping: Receiver<bool>,
}

#[tonic::async_trait]
impl Events for EventsApi {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let deadline = deadline::of(request.metadata());
        let watch = Watch::start(self, request.get_ref(), deadline).await?;
        Ok(Response::new(Box::pin(watch.frames())))
    }
}
