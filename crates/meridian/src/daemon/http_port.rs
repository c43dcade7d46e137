//! The HTTP port of an agent: the portal, and `/healthz`, `/readyz`, `/metrics`.
//!
//! | path | 200 means | otherwise |
//! | --- | --- | --- |
//! | `/healthz` | the process works and its storage has not failed | 503: restart it |
//! | `/readyz` | its state includes every change acknowledged before it started, and it knows a leader | 503: send clients to another agent |
//!
//! Gateways serve whether or not their agent is ready, so neither path is meant for their clients.
//!
//! A connection serves one request: probes and scrapes are rare, a page has few files, and idle
//! connections would take descriptors that the agent needs.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use futures::future::ready;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use meridian_transport::accept::{Connection, Limits, incoming_http1};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// Content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Content type of live updates.
const LIVE_TYPE: &str = "text/event-stream";
/// Maximum time from the first byte of a request to the last one of its response.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for which a page gets live updates over one connection; it then connects again.
const LIVE_TIMEOUT: Duration = Duration::from_secs(600);
/// Part of the connections that live pages may hold.
const LIVE_PART: usize = 2;

/// The portal, which exists once the agent is a member of a cluster. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct LatePortal(Arc<OnceLock<Router>>);

impl LatePortal {
    /// Sets the pages. Later calls have no effect.
    pub fn fill(&self, pages: Router) {
        // An agent has one node, so further pages would be the same node's.
        let _ = self.0.set(pages);
    }

    /// Responds with a page.
    async fn respond(self, request: Request) -> Response {
        match self.0.get() {
            Some(pages) => {
                let Ok(response) = pages.clone().oneshot(request).await;
                response
            }
            None => {
                let cause = "this agent is starting; try again in a few seconds\n";
                (StatusCode::SERVICE_UNAVAILABLE, cause).into_response()
            }
        }
    }
}

/// Returns the maximum number of live pages on a port with these limits.
pub fn live_pages(limits: Limits) -> usize {
    limits.connections / LIVE_PART
}

/// Serves the port until dropped.
pub async fn serve(
    listener: TcpListener,
    limits: Limits,
    health: Health,
    metrics: Metrics,
    portal: LatePortal,
) {
    let metrics = async move || ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.render());
    let router = Router::new()
        .route("/healthz", get(async |State(health): State<Health>| check(health.healthy())))
        .route("/readyz", get(async |State(health): State<Health>| check(health.ready())))
        .route("/metrics", get(metrics))
        .fallback(move |request| portal.respond(request))
        .with_state(health);
    let mut incoming = pin!(incoming_http1(listener, limits));
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            Some(connection) = incoming.next() => {
                exchanges.spawn(exchange(connection, router.clone(), EXCHANGE_TIMEOUT));
            }
            Some(_) = exchanges.join_next() => {}
        }
    }
}

/// Serves one request within `limit`: neither a client that sends slowly nor one that does not read
/// the response keeps its connection for longer.
async fn exchange(connection: Connection, router: Router, limit: Duration) {
    let is_live = Arc::new(OnceLock::new());
    let watched = {
        let is_live = is_live.clone();
        router.layer(map_response(move |response: Response| {
            let kind = response.headers().get(header::CONTENT_TYPE);
            if kind.is_some_and(|kind| kind == LIVE_TYPE) {
                // Set once: a connection has one response.
                let _ = is_live.set(());
            }
            ready(response)
        }))
    };
    let mut http = http1::Builder::new();
    let service = TowerToHyperService::new(watched);
    let mut served =
        pin!(http.keep_alive(false).serve_connection(TokioIo::new(connection), service));
    let mut ended = timeout(limit, served.as_mut()).await;
    if ended.is_err() && is_live.get().is_some() {
        ended = timeout(LIVE_TIMEOUT, served).await;
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP connection failed"),
        Err(_) => tracing::debug!("closed an HTTP connection that took too long"),
    }
}

fn check(result: Result<(), String>) -> impl IntoResponse {
    match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("{cause}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::SocketAddr;

    use meridian_agent::driver::Traffic;
    use meridian_storage::fuse::Fuse;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

    async fn start(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("is bound");
        let recorder = PrometheusBuilder::new().build_recorder().handle();
        let metrics = Metrics { recorder, traffic: Traffic::default() };
        tokio::spawn(serve(
            listener,
            limits,
            Health::new(Fuse::default()),
            metrics,
            LatePortal::default(),
        ));
        address
    }

    /// Reads until the server closes the connection.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes).await {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => String::from_utf8(bytes).expect("is text"),
        }
    }

    #[tokio::test]
    async fn idle_connections_do_not_lock_out_a_probe() {
        let limits = Limits { connections: 8, half_open: 4, ..Limits::default() };
        let address = start(limits).await;
        let mut idle = Vec::new();
        for _ in 0..100 {
            idle.push(TcpStream::connect(address).await.expect("is accepted"));
        }
        let mut probe = TcpStream::connect(address).await.expect("is accepted");
        probe.write_all(REQUEST).await.expect("is open");
        let response = rest(&mut probe).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
        // All but the last ones were closed.
        assert_eq!(rest(&mut idle[0]).await, "");
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_closed_after_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("is bound");
        let mut client = TcpStream::connect(address).await.expect("is accepted");
        client.write_all(b"GET /healthz HTTP/1.1\r\n").await.expect("is open");
        let mut incoming = pin!(incoming_http1(listener, Limits::default()));
        let connection = incoming.next().await.expect("never ends");
        exchange(connection, Router::new(), Duration::from_millis(50)).await;
        assert_eq!(rest(&mut client).await, "");
    }
}
