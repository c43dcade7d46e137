//! What units counted, as metrics of their agent.
//!
//! A unit counts from its start and is asked every few seconds, so what is added is the difference to
//! what it said before. What it counts after the last question, some seconds at most, is lost with it.

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
/// The label of calls that no API got.
const UNROUTED: &str = "";

/// Gives these metrics their help texts and units.
pub(crate) fn describe_metrics() {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Requests that the gateway units of this agent responded to, by service, API and status \
         class; with an empty API, those that matched none."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Duration of requests, by service and API; each counts as the middle of its bucket."
    );
    describe_gauge!(IN_FLIGHT, Unit::Count, "Requests in flight, by service and unit.");
    describe_gauge!(
        UTILIZATION,
        "Requests in flight relative to the unit's limit, smoothed; by service and unit."
    );
    describe_gauge!(CONNECTIONS, Unit::Count, "Open client connections, by service and unit.");
}

/// What one unit has said so far.
#[derive(Debug, Default)]
pub(super) struct Counted {
    calls: BTreeMap<(String, u32), u64>,
    latency: BTreeMap<(String, u64), u64>,
}

impl Counted {
    /// Adds what is new in what the unit says.
    pub(super) fn note(&mut self, unit: &UnitId, said: &UnitMetrics) {
        let service = &unit.service;
        self.calls(service, UNROUTED, &said.unrouted);
        for api in &said.apis {
            self.calls(service, &api.api, &api.statuses);
            self.latency(service, api);
        }
        let load = said.load.unwrap_or_default();
        let labels = [("service", service.to_string()), ("unit", unit.to_string())];
        gauge!(IN_FLIGHT, &labels).set(load.in_flight);
        gauge!(UTILIZATION, &labels).set(f64::from(load.utilization_permille) / 1_000.0);
        gauge!(CONNECTIONS, &labels).set(said.connections);
    }

    fn calls(&mut self, service: &ServiceName, api: &str, said: &[StatusClassCount]) {
        for StatusClassCount { class, requests } in said {
            let before = self.calls.insert((api.to_owned(), *class), *requests).unwrap_or(0);
            let labels = [
                ("service", service.to_string()),
                ("api", api.to_owned()),
                ("status", format!("{class}xx")),
            ];
            counter!(REQUESTS, &labels).increment(requests.saturating_sub(before));
        }
    }

    fn latency(&mut self, service: &ServiceName, said: &ApiMetrics) {
        let labels = [("service", service.to_string()), ("api", said.api.clone())];
        let recorder = histogram!(DURATION, &labels);
        let (mut below, mut least) = (0, 0);
        for bucket in &said.latency {
            let within = bucket.requests.saturating_sub(below);
            let key = (said.api.clone(), bucket.upper_bound_us);
            let before = self.latency.insert(key, within).unwrap_or(0);
            let new = usize::try_from(within.saturating_sub(before)).unwrap_or(usize::MAX);
            recorder.record_many(middle_seconds(least, bucket.upper_bound_us), new);
            (below, least) = (bucket.requests, bucket.upper_bound_us);
        }
    }
}

/// The last bucket has no upper bound, so its lower one stands for it.
#[allow(clippy::cast_precision_loss, reason = "microseconds of some minutes")]
fn middle_seconds(least_us: u64, most_us: u64) -> f64 {
    let middle = if most_us == 0 { least_us as f64 } else { (least_us + most_us) as f64 / 2.0 };
    middle / 1e6
}

/// Lets the gauges of a unit that ended fall to nothing.
pub(super) fn forget(unit: &UnitId) {
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
    fn only_what_is_new_is_added() {
        let unit = UnitId {
            service: ServiceName::new("contoso").expect("is a name"),
            region: RegionName::new("westeurope").expect("is a name"),
            slot: 1,
        };
        let said = |requests| UnitMetrics {
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
        let mut counted = Counted::default();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            counted.note(&unit, &said(3));
            counted.note(&unit, &said(5));
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
