//! The port between agents. It is served from the start, because agents meet there before they are
//! members of a cluster; RPCs between members are served once the node exists.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use meridian_replication::peer::meeting::Lobby;
use meridian_replication::peer::server::CheckedPeerService;
use meridian_transport::accept::{Limits, incoming};
use meridian_transport::settings;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::server::NamedService;
use tower::Service;

/// A service that is set after its port is served. Cheap to clone; all clones share the service.
#[derive(Clone)]
pub struct Late<S>(Arc<OnceLock<S>>);

impl<S> Default for Late<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Late<S> {
    /// Sets the service. Later calls have no effect.
    pub fn fill(&self, service: S) {
        // An agent has one node, so a second service would be the same node's.
        let _ = self.0.set(service);
    }
}

impl<S: NamedService> NamedService for Late<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<Body>> for Late<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.0.get() {
            // The services that tonic generates are always ready.
            Some(service) => {
                let response = service.clone().call(request);
                Box::pin(async { Ok(response.await?.map(Body::new)) })
            }
            None => {
                let status = Status::unavailable("this agent is not a member of a cluster yet");
                Box::pin(ready(Ok(status.into_http())))
            }
        }
    }
}

/// Serves the port until aborted. Streams between members end with their nodes, not before.
pub async fn serve(
    listener: TcpListener,
    limits: Limits,
    lobby: Lobby,
    peer: Late<CheckedPeerService>,
) {
    let served = settings::PEER
        .server()
        .add_service(lobby.service())
        .add_service(peer)
        .serve_with_incoming(incoming(listener, limits));
    if let Err(error) = served.await {
        tracing::error!(%error, "peer port failed");
    }
}
