//! The HTTP port of an agent: `/healthz`, `/readyz`, `/metrics`.
//!
//! | path | 200 means | otherwise |
//! | --- | --- | --- |
//! | `/healthz` | the process works and its storage has not failed | 503: restart it |
//! | `/readyz` | its state includes every change acknowledged before it started, and it knows a leader | 503: send clients to another agent |
//!
//! Gateways serve whether or not their agent is ready, so neither path is meant for their clients.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::health::Health;
use super::metrics::Metrics;

/// Content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the port until aborted.
pub async fn serve(listener: TcpListener, health: Health, metrics: Metrics) {
    let metrics = async move || ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.render());
    let router = Router::new()
        .route("/healthz", get(async |State(health): State<Health>| check(health.healthy())))
        .route("/readyz", get(async |State(health): State<Health>| check(health.ready())))
        .route("/metrics", get(metrics))
        .fallback(async || {
            (StatusCode::NOT_FOUND, "not found; the paths are /healthz, /readyz and /metrics\n")
        })
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "HTTP port failed");
    }
}

fn check(result: Result<(), String>) -> impl IntoResponse {
    match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("{cause}\n")),
    }
}
