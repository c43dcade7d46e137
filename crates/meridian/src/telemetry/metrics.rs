//! The metrics of this process, in the text format of Prometheus.

use std::time::Duration;

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of histograms of durations, in seconds: from a write into memory to the time-out of a
/// call.
const SECONDS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Upper bounds of histograms of counts.
const COUNTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// Between two rounds of putting samples into histograms: without them, samples pile up in memory
/// while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts collecting the metrics of this process, and says what each means. To be called once, before
/// anything is measured.
///
/// # Errors
/// If something collects them already.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe_gauge!("meridian_build_info", "Always 1; the label `version` is the software's.");
    gauge!("meridian_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    meridian_replication::gauges::describe();
    meridian_storage::log_store::describe_metrics();
    meridian_storage::store::describe_metrics();
    meridian_api::describe_metrics();
    meridian_transport::metrics::describe_metrics();
    meridian_agent::describe_metrics();
    Ok(handle)
}

/// Keeps memory bounded until aborted.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}
