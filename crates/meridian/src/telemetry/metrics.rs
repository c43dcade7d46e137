//! The metrics of this process, in the text format of Prometheus.

use std::time::Duration;

use meridian_agent::driver::Traffic;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Bucket bounds of duration histograms, in seconds: from a write to memory up to the timeout of a
/// request.
const SECONDS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Bucket bounds of count histograms.
const COUNTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// Interval of histogram upkeep: without it, samples accumulate in memory while no client scrapes
/// `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);

/// Metrics of this process and of its units. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) recorder: PrometheusHandle,
    /// Traffic of the units, which have counters of their own.
    pub traffic: Traffic,
}

impl Metrics {
    /// Renders all metrics.
    #[must_use]
    pub fn render(&self) -> String {
        self.recorder.render() + &self.traffic.render()
    }
}

/// Installs the metrics recorder of this process and describes all metrics. Must be called once,
/// before anything is measured.
///
/// # Errors
/// If a recorder is already installed.
pub fn start() -> Result<Metrics, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe_gauge!(
        "meridian_build_info",
        "Always 1; the label `version` has the version of the binary."
    );
    gauge!("meridian_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    meridian_replication::metrics::describe_metrics();
    meridian_storage::log_store::describe_metrics();
    meridian_storage::store::describe_metrics();
    meridian_api::describe_metrics();
    meridian_transport::metrics::describe_metrics();
    meridian_agent::describe_metrics();
    meridian_steering::describe_metrics();
    Ok(Metrics { recorder, traffic: Traffic::default() })
}

/// Runs histogram upkeep until aborted, which keeps memory bounded.
pub async fn upkeep(metrics: Metrics) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.recorder.run_upkeep();
    }
}
