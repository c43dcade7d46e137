//! Counters of the units, as metrics of their agent.
//!
//! The counters of a unit start at zero. Its agent reads them every few seconds and adds the
//! increase to its own metrics. Requests between the last read and the unit's exit, a few seconds
//! at most, are not counted.

use std::collections::BTreeMap;

use meridian_domain::{ServiceName, UnitId};
use meridian_proto::v1::{ApiMetrics, StatusClassCount, UnitMetrics};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const REQUESTS: &str = "meridian_gateway_requests_total";
const DURATION: &str = "meridian_gateway_request_duration_seconds";
const IN_FLIGHT: &str = "meridian_gateway_requests_in_flight";
const UTILIZATION: &str = "meridian_gateway_utilization_ratio";
const CONNECTIONS: &str = "meridian_gateway_connections";
/// API label of requests that match no API.
const UNROUTED: &str = "";

/// Registers the descriptions of these metrics with the installed recorder.
pub(crate) fn describe_metrics() {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Requests handled by the gateway units of this agent, by service, API and status class; \
         without an API: requests that match none."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Request duration, by service and API. Each request counts as the middle of its bucket."
    );
    describe_gauge!(IN_FLIGHT, Unit::Count, "Requests in flight, by service and unit.");
    describe_gauge!(
        UTILIZATION,
        "Requests in flight relative to the limit of the unit, smoothed, by service and unit."
    );
    describe_gauge!(CONNECTIONS, Unit::Count, "Client connections, by service and unit.");
}

/// Counters as last reported by one unit.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: BTreeMap<(String, u32), u64>,
    latency: BTreeMap<(String, u64), u64>,
}

impl Counters {
    /// Adds the difference between `reported` and the last report to the metrics.
    pub(super) fn add(&mut self, unit: &UnitId, reported: &UnitMetrics) {
        let service = &unit.service;
        self.add_requests(service, UNROUTED, &reported.unrouted);
        for api in &reported.apis {
            self.add_requests(service, &api.api, &api.statuses);
            self.add_latency(service, api);
        }
        let load = reported.load.unwrap_or_default();
        let labels = [("service", service.to_string()), ("unit", unit.to_string())];
        gauge!(IN_FLIGHT, &labels).set(load.in_flight);
        gauge!(UTILIZATION, &labels).set(f64::from(load.utilization_permille) / 1_000.0);
        gauge!(CONNECTIONS, &labels).set(reported.connections);
    }

    fn add_requests(&mut self, service: &ServiceName, api: &str, reported: &[StatusClassCount]) {
        for StatusClassCount { class, requests } in reported {
            let before = self.requests.insert((api.to_owned(), *class), *requests).unwrap_or(0);
            let labels = [
                ("service", service.to_string()),
                ("api", api.to_owned()),
                ("status", format!("{class}xx")),
            ];
            counter!(REQUESTS, &labels).increment(requests.saturating_sub(before));
        }
    }

    fn add_latency(&mut self, service: &ServiceName, reported: &ApiMetrics) {
        let labels = [("service", service.to_string()), ("api", reported.api.clone())];
        let recorder = histogram!(DURATION, &labels);
        let (mut cumulative, mut lower_us) = (0, 0);
        for bucket in &reported.latency {
            let within = bucket.requests.saturating_sub(cumulative);
            let key = (reported.api.clone(), bucket.upper_bound_us);
            let before = self.latency.insert(key, within).unwrap_or(0);
            let new = usize::try_from(within.saturating_sub(before)).unwrap_or(usize::MAX);
            recorder.record_many(middle_seconds(lower_us, bucket.upper_bound_us), new);
            (cumulative, lower_us) = (bucket.requests, bucket.upper_bound_us);
        }
    }
}

/// Middle of a bucket. The last bucket has no upper bound (0), so its lower bound is used.
#[allow(clippy::cast_precision_loss, reason = "the values are microseconds of a few minutes")]
fn middle_seconds(lower_us: u64, upper_us: u64) -> f64 {
    let middle = if upper_us == 0 { lower_us as f64 } else { (lower_us + upper_us) as f64 / 2.0 };
    middle / 1e6
}

/// Resets the gauges of a unit that has exited.
pub(super) fn reset_gauges(unit: &UnitId) {
    let labels = [("service", unit.service.to_string()), ("unit", unit.to_string())];
    for name in [IN_FLIGHT, UTILIZATION, CONNECTIONS] {
        gauge!(name, &labels).set(0.0);
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::{RegionName, ServiceName};
    use meridian_proto::v1::LatencyBucket;

    use super::*;

    #[test]
    fn only_the_increase_since_the_last_report_is_added() {
        let unit = UnitId {
            service: ServiceName::new("contoso").expect("valid name"),
            region: RegionName::new("westeurope").expect("valid name"),
            slot: 1,
        };
        let metrics = |requests| UnitMetrics {
            apis: vec![ApiMetrics {
                api: "orders".to_owned(),
                statuses: vec![StatusClassCount { class: 2, requests }],
                latency: vec![
                    LatencyBucket { upper_bound_us: 1_000, requests: 1 },
                    LatencyBucket { upper_bound_us: 0, requests },
                ],
                latency_sum_us: 0,
            }],
            ..UnitMetrics::default()
        };
        let mut counters = Counters::default();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            counters.add(&unit, &metrics(3));
            counters.add(&unit, &metrics(5));
        });
        let text = recorder.handle().render();
        let line = "meridian_gateway_requests_total{service=\"contoso\",api=\"orders\",\
                    status=\"2xx\"} 5";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("meridian_gateway_request_duration_seconds_count"), "{text}");
        let count = text.lines().find(|line| line.contains("seconds_count")).unwrap_or_default();
        assert!(count.ends_with(" 5"), "{text}");
    }
}
