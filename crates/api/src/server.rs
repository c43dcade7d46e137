//! The server of the client port.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use meridian_ports::NameServer;
use meridian_proto::DESCRIPTORS;
use meridian_proto::v1::cluster_server::ClusterServer;
use meridian_proto::v1::events_server::EventsServer;
use meridian_proto::v1::routing_server::RoutingServer;
use meridian_proto::v1::services_server::ServicesServer;
use meridian_transport::accept::{self, incoming};
use meridian_transport::settings;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::service_fn;

use crate::cluster::ClusterApi;
use crate::error::Error;
use crate::events::EventsApi;
use crate::routing::RoutingApi;
use crate::rpc::RpcLayer;
use crate::services::ServicesApi;
use crate::{Ports, deadline};

/// Maximum bytes of a request: a change set of 128 edits has a few thousand.
const REQUEST_BYTES: usize = 1 << 20;
/// Maximum concurrent requests per connection; further ones wait.
const REQUESTS_PER_CONNECTION: usize = 512;
/// Time for requests to complete at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// Timeout of a request whose message never ends: beyond the maximum deadline.
const STUCK: Duration = deadline::MAX.saturating_add(Duration::from_secs(5));

/// Configuration of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Limits of its listener.
    pub accept: accept::Limits,
    /// Maximum time between frames of a watch. Default and contract: 5 s.
    pub idle_frame: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { accept: accept::Limits::default(), idle_frame: Duration::from_secs(5) }
    }
}

/// Error of building a server.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the compiled contracts for reflection")]
pub struct BuildError(#[from] tonic_reflection::server::Error);

/// Error that ended a server.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// The gRPC server for clients: the four services of the contract, `grpc.health.v1`, and
/// reflection in both of its versions.
pub struct Server {
    config: Config,
    routes: Routes,
    health: HealthReporter,
    ready: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Builds the server over the ports. Its health follows `ready`, and keeps the last value after the
    /// sender is dropped.
    ///
    /// # Errors
    /// If the compiled contracts are broken.
    pub fn build(
        config: Config,
        ports: Ports,
        name_server: Arc<dyn NameServer>,
        ready: watch::Receiver<bool>,
    ) -> Result<Self, BuildError> {
        let (stopping, stops) = watch::channel(false);
        let (health, health_server) = tonic_health::server::health_reporter();
        let events = EventsApi { ports: ports.clone(), idle: config.idle_frame, stopping: stops };
        let services = ServicesServer::new(ServicesApi(ports.clone()));
        let routing = RoutingServer::new(RoutingApi { ports: ports.clone(), name_server });
        let cluster = ClusterServer::new(ClusterApi(ports));
        let mut routes = Routes::builder();
        routes
            .add_service(services.max_decoding_message_size(REQUEST_BYTES))
            .add_service(EventsServer::new(events).max_decoding_message_size(REQUEST_BYTES))
            .add_service(cluster.max_decoding_message_size(REQUEST_BYTES))
            .add_service(routing.max_decoding_message_size(REQUEST_BYTES))
            .add_service(health_server.max_decoding_message_size(REQUEST_BYTES))
            .add_service(reflection().build_v1()?.max_decoding_message_size(REQUEST_BYTES))
            // The only version that Python's client supports.
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(REQUEST_BYTES));
        Ok(Self { config, routes: routes.routes(), health, ready, stopping })
    }

    /// Serves until `shutdown` completes; then watches end, and requests have 5 s to complete.
    ///
    /// # Errors
    /// If the server fails before that.
    pub async fn run(
        self,
        listener: impl Into<Arc<TcpListener>>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { config, routes, health, ready, stopping } = self;
        let mut stopped = stopping.subscribe();
        let announce = async move {
            shutdown.await;
            stopping.send_replace(true);
            // Keeps the sender: a watch treats a dropped sender as a dropped server.
            std::future::pending::<()>().await;
        };
        let signal = {
            let mut stopped = stopped.clone();
            async move {
                // The sender lives until this function returns.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let serve = transport()
            .layer(rpc_layer())
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming(listener, config.accept), signal);
        let drained = async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            sleep(DRAIN).await;
        };
        tokio::select! {
            served = serve => Ok(served?),
            () = drained => {
                tracing::warn!("requests still running {DRAIN:?} after the shutdown were cut off");
                Ok(())
            }
            () = announce => Ok(()),
            () = report_health(&health, ready) => Ok(()),
        }
    }
}

/// Serves the port of an agent that cannot serve requests yet, until dropped: every request fails
/// at once, so that its client knows that nothing was submitted. The reason is `STARTING` if
/// `is_member` returns true, else `NOT_A_MEMBER`.
///
/// # Errors
/// If the server fails.
pub async fn refuse_requests(
    listener: Arc<TcpListener>,
    limits: accept::Limits,
    is_member: impl Fn() -> bool + Clone + Send + 'static,
) -> Result<(), ServeError> {
    let refuse = move |_: Request<Body>| {
        let error = if is_member() { Error::Starting } else { Error::NotAMember };
        std::future::ready(Ok::<_, Infallible>(Status::from(error).into_http::<Body>()))
    };
    let incoming = incoming(listener, limits);
    // With a shutdown signal, even one that never comes, connections close when this is dropped.
    let never = std::future::pending();
    let server = transport().layer(rpc_layer());
    Ok(server.serve_with_incoming_shutdown(service_fn(refuse), incoming, never).await?)
}

fn rpc_layer() -> RpcLayer {
    RpcLayer::of([DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET])
}

fn transport() -> tonic::transport::Server {
    let server = settings::CLIENT.server();
    server.concurrency_limit_per_connection(REQUESTS_PER_CONNECTION).timeout(STUCK)
}

/// Reflects only the services of this server: the compiled contracts include those between agents.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    let served = served().into_iter().chain(["grpc.health.v1.Health"]);
    let contracts = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    served.fold(contracts, tonic_reflection::server::Builder::with_service_name)
}

fn served() -> [&'static str; 4] {
    [
        ServicesServer::<ServicesApi>::NAME,
        EventsServer::<EventsApi>::NAME,
        ClusterServer::<ClusterApi>::NAME,
        RoutingServer::<RoutingApi>::NAME,
    ]
}

/// Never returns: once the sender is dropped, the server keeps the last health.
async fn report_health(health: &HealthReporter, mut ready: watch::Receiver<bool>) {
    loop {
        let status = match *ready.borrow_and_update() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for name in served().into_iter().chain([""]) {
            health.set_service_status(name, status).await;
        }
        if ready.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
