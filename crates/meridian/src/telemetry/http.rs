//! The HTTP port of an agent: `/healthz`, `/readyz`, `/metrics`.
//!
//! | path | 200 means | otherwise |
//! | --- | --- | --- |
//! | `/healthz` | the process works and may be trusted with data | 503: restart it |
//! | `/readyz` | it has seen all that was acknowledged before it started, and follows a leader now | 503: send clients elsewhere |
//!
//! Gateways serve whether or not their agent is ready, so neither path is for their callers.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::health::Health;

/// The content type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the port until aborted.
pub async fn serve(listener: TcpListener, health: Health, metrics: PrometheusHandle) {
    let metrics = async move || ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.render());
    let router = Router::new()
        .route("/healthz", get(async |State(health): State<Health>| answer(health.healthy())))
        .route("/readyz", get(async |State(health): State<Health>| answer(health.ready())))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n"))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the HTTP port is not served any more");
    }
}

fn answer(fine: Result<(), String>) -> impl IntoResponse {
    match fine {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("{cause}\n")),
    }
}
