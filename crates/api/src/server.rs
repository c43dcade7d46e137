//! The server of the client port.

use std::time::Duration;

use meridian_proto::DESCRIPTORS;
use meridian_proto::v1::cluster_server::ClusterServer;
use meridian_proto::v1::events_server::EventsServer;
use meridian_proto::v1::services_server::ServicesServer;
use meridian_transport::accept::{self, incoming};
use meridian_transport::settings;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::call::CallLayer;
use crate::cluster::ClusterApi;
use crate::events::EventsApi;
use crate::services::ServicesApi;
use crate::{Ports, deadline};

/// Bytes of one request: a change set of 128 edits has a few thousand.
const REQUEST_BYTES: usize = 1 << 20;
/// Calls that one connection has worked on at once; further ones wait.
const CALLS_PER_CONNECTION: usize = 512;
/// How long calls have to end when the agent stops.
const DRAIN: Duration = Duration::from_secs(5);
/// When a call is given up whose message never ended, beyond the longest deadline.
const STUCK: Duration = deadline::MOST.saturating_add(Duration::from_secs(5));

/// What may be changed about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What its listener puts up with.
    pub accept: accept::Limits,
    /// The longest time that a watch sends nothing. Default and contract: 5 s.
    pub idle_frame: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { accept: accept::Limits::default(), idle_frame: Duration::from_secs(5) }
    }
}

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the compiled contracts cannot be offered for reflection")]
pub struct BuildError(#[from] tonic_reflection::server::Error);

/// Why a server ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// The gRPC server for clients: the three services of the contract, `grpc.health.v1`, and reflection
/// in both of its versions.
pub struct Server {
    config: Config,
    routes: Routes,
    health: HealthReporter,
    ready: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Builds the server over the ports. Its health follows `ready`, and is the last that was said
    /// once the sender is gone.
    ///
    /// # Errors
    /// If the compiled contracts are broken.
    pub fn build(
        config: Config,
        ports: Ports,
        ready: watch::Receiver<bool>,
    ) -> Result<Self, BuildError> {
        let (stopping, stops) = watch::channel(false);
        let (health, health_server) = tonic_health::server::health_reporter();
        let events = EventsApi { ports: ports.clone(), idle: config.idle_frame, stopping: stops };
        let services = ServicesServer::new(ServicesApi(ports.clone()));
        let cluster = ClusterServer::new(ClusterApi(ports));
        let mut routes = Routes::builder();
        routes
            .add_service(services.max_decoding_message_size(REQUEST_BYTES))
            .add_service(EventsServer::new(events).max_decoding_message_size(REQUEST_BYTES))
            .add_service(cluster.max_decoding_message_size(REQUEST_BYTES))
            .add_service(health_server.max_decoding_message_size(REQUEST_BYTES))
            .add_service(reflection().build_v1()?.max_decoding_message_size(REQUEST_BYTES))
            // Python's client knows no other.
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(REQUEST_BYTES));
        Ok(Self { config, routes: routes.routes(), health, ready, stopping })
    }

    /// Serves until `shutdown` completes; then watches end, and calls have 5 s to do so.
    ///
    /// # Errors
    /// If the server fails before that.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { config, routes, health, ready, stopping } = self;
        let mut stopped = stopping.subscribe();
        let announce = async move {
            shutdown.await;
            stopping.send_replace(true);
            // Kept, because a watch takes a sender that is gone for a server that is.
            std::future::pending::<()>().await;
        };
        let signal = {
            let mut stopped = stopped.clone();
            async move {
                // Its sender lives as long as this function.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let serve = transport()
            .layer(CallLayer::of([DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET]))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming(listener, config.accept), signal);
        let drained = async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            sleep(DRAIN).await;
        };
        tokio::select! {
            served = serve => Ok(served?),
            () = drained => {
                tracing::warn!("calls that had not ended {DRAIN:?} after the shutdown were cut off");
                Ok(())
            }
            () = announce => Ok(()),
            () = report_health(&health, ready) => Ok(()),
        }
    }
}

fn transport() -> tonic::transport::Server {
    settings::CLIENT.server().concurrency_limit_per_connection(CALLS_PER_CONNECTION).timeout(STUCK)
}

/// Offers what this server serves; the compiled contracts have those between agents in them, too.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    let served = served().into_iter().chain(["grpc.health.v1.Health"]);
    let contracts = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    served.fold(contracts, tonic_reflection::server::Builder::with_service_name)
}

fn served() -> [&'static str; 3] {
    [
        ServicesServer::<ServicesApi>::NAME,
        EventsServer::<EventsApi>::NAME,
        ClusterServer::<ClusterApi>::NAME,
    ]
}

/// Never returns: there is nothing to wait for once the sender is gone, but the server goes on.
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
