//! Traffic of the gateway units: their counters as metrics of the agent, in the text format of
//! Prometheus.
//!
//! Every incarnation of a unit has its own series, whose values are those that it last reported.
//! It counts from its start, and outlives its agent. So no counter goes back when the agent
//! restarts, the metrics of a unit vanish with it, and the agent stores nothing. A sum over units
//! would go back whenever a unit exits.
//!
//! To keep a scrape small, an API has no histogram of its own, and no series before its first
//! request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meridian_domain::{Incarnation, UnitId};
use meridian_proto::v1::{ApiMetrics, StatusClassCount, UnitLoad, UnitMetrics};

mod text;

use text::Text;

/// API label of requests that match no API.
const UNROUTED: &str = "";

/// Traffic of the units of one agent. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Mutex<Units>>);

/// The units by incarnation.
type Units = BTreeMap<Incarnation, Arc<UnitTraffic>>;

/// Traffic of one unit since its start.
#[derive(Debug)]
struct UnitTraffic {
    unit: UnitId,
    /// Every API with requests.
    apis: Vec<ApiTraffic>,
    /// Histogram of request durations: cumulative counts by inclusive upper bound in microseconds;
    /// `u64::MAX` for the last one, which is unbounded.
    latency: BTreeMap<u64, u64>,
    load: UnitLoad,
    connections: u32,
}

/// Traffic of one API in one unit.
#[derive(Debug)]
struct ApiTraffic {
    api: String,
    /// Requests by status class, from 1 to 5.
    statuses: Vec<(u32, u64)>,
    /// Sum of the request durations in microseconds. `None` if they are not measured.
    duration_us: Option<u64>,
}

impl Traffic {
    /// Records what a unit reported, replacing its last report.
    pub(super) fn record(&self, incarnation: Incarnation, unit: UnitId, reported: &UnitMetrics) {
        let traffic = UnitTraffic::new(unit, reported);
        self.units().insert(incarnation, Arc::new(traffic));
    }

    /// Removes the traffic of a unit that has exited.
    pub(super) fn remove(&self, incarnation: Incarnation) {
        self.units().remove(&incarnation);
    }

    /// Renders all metrics in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        // Formatting takes longer than a report may wait.
        let units = self.units().clone();
        let mut text = Text::default();
        render_requests(&mut text, &units);
        render_durations(&mut text, &units);
        render_gauges(&mut text, &units);
        text.into_string()
    }

    fn units(&self) -> MutexGuard<'_, Units> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnitTraffic {
    fn new(unit: UnitId, reported: &UnitMetrics) -> Self {
        let unrouted = ApiTraffic::new(UNROUTED, &reported.unrouted, None);
        let routed = reported.apis.iter().map(|it| {
            let ApiMetrics { api, statuses, latency_sum_us, latency: _ } = it;
            ApiTraffic::new(api, statuses, Some(*latency_sum_us))
        });
        let apis = std::iter::once(unrouted).chain(routed).filter(|it| !it.statuses.is_empty());
        let mut latency = BTreeMap::new();
        for bucket in reported.apis.iter().flat_map(|api| &api.latency) {
            let bound = if bucket.upper_bound_us == 0 { u64::MAX } else { bucket.upper_bound_us };
            *latency.entry(bound).or_default() += bucket.requests;
        }
        Self {
            unit,
            apis: apis.collect(),
            latency,
            load: reported.load.unwrap_or_default(),
            connections: reported.connections,
        }
    }

    /// Sum of all request durations in microseconds.
    fn duration_us(&self) -> u64 {
        self.apis.iter().filter_map(|api| api.duration_us).sum()
    }
}

impl ApiTraffic {
    fn new(api: &str, statuses: &[StatusClassCount], duration_us: Option<u64>) -> Self {
        let statuses = statuses.iter().filter(|count| count.requests > 0);
        let statuses = statuses.map(|count| (count.class, count.requests)).collect();
        Self { api: api.to_owned(), statuses, duration_us }
    }
}

fn render_requests(text: &mut Text, units: &Units) {
    let requests = text.counter(
        "meridian_gateway_requests_total",
        "Requests by service, API, incarnation of the unit, and status class; without an API: \
         requests that match none, or that a limit refused.",
    );
    for (incarnation, unit) in units {
        let (service, incarnation) = (unit.unit.service.as_str(), incarnation.to_string());
        for api in &unit.apis {
            for (class, count) in &api.statuses {
                let status = format!("{class}xx");
                let labels = [
                    ("service", service),
                    ("api", &api.api),
                    ("incarnation", &incarnation),
                    ("status", &status),
                ];
                text.sample(requests, &labels, count);
            }
        }
    }
    let durations = text.counter(
        "meridian_gateway_api_duration_seconds_total",
        "Sum of the request durations by service, API, and incarnation of the unit.",
    );
    for (incarnation, unit) in units {
        let (service, incarnation) = (unit.unit.service.as_str(), incarnation.to_string());
        for api in &unit.apis {
            let Some(duration_us) = api.duration_us else { continue };
            let labels = [("service", service), ("api", &api.api), ("incarnation", &incarnation)];
            text.sample(durations, &labels, seconds(duration_us));
        }
    }
}

fn render_durations(text: &mut Text, units: &Units) {
    let name = text.histogram(
        "meridian_gateway_request_duration_seconds",
        "Request duration by service and incarnation of the unit, of all its APIs together.",
    );
    let (bucket, sum, total) =
        (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
    for (incarnation, unit) in units {
        let Some(count) = unit.latency.get(&u64::MAX).filter(|count| **count > 0) else { continue };
        let incarnation = incarnation.to_string();
        let labels = [("service", unit.unit.service.as_str()), ("incarnation", &incarnation)];
        for (bound, requests) in &unit.latency {
            let le = match *bound {
                u64::MAX => "+Inf".to_owned(),
                bound => seconds(bound).to_string(),
            };
            text.sample(&bucket, &[labels[0], labels[1], ("le", &le)], requests);
        }
        text.sample(&sum, &labels, seconds(unit.duration_us()));
        text.sample(&total, &labels, count);
    }
}

fn render_gauges(text: &mut Text, units: &Units) {
    type Value = fn(&UnitTraffic) -> f64;
    let gauges: [(&str, &str, Value); 3] = [
        ("meridian_gateway_requests_in_flight", "Requests in flight, by unit.", |unit| {
            unit.load.in_flight.into()
        }),
        (
            "meridian_gateway_utilization_ratio",
            "Requests in flight relative to the limit of the unit, smoothed, by unit.",
            |unit| f64::from(unit.load.utilization_permille) / 1_000.0,
        ),
        ("meridian_gateway_connections", "Client connections, by unit.", |unit| {
            unit.connections.into()
        }),
    ];
    for (name, help, value) in gauges {
        let name = text.gauge(name, help);
        for (incarnation, unit) in units {
            let (id, incarnation) = (unit.unit.to_string(), incarnation.to_string());
            let labels = [
                ("service", unit.unit.service.as_str()),
                ("unit", &id),
                ("incarnation", &incarnation),
            ];
            text.sample(name, &labels, value(unit));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::collections::BTreeSet;

    use meridian_domain::{RegionName, ServiceName};
    use meridian_proto::v1::LatencyBucket;

    use super::*;

    fn unit(service: &str) -> UnitId {
        UnitId {
            service: ServiceName::new(service).unwrap(),
            region: RegionName::new("westeurope").unwrap(),
            slot: 1,
        }
    }

    /// An API that served this number of requests.
    fn api(name: &str, requests: u64) -> ApiMetrics {
        let bounds = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000];
        let bounds = bounds.into_iter().chain([250_000, 500_000, 1_000_000, 2_500_000]);
        let bounds = bounds.chain([5_000_000, 10_000_000, 0]);
        let bucket = |upper_bound_us| LatencyBucket { upper_bound_us, requests };
        ApiMetrics {
            api: name.to_owned(),
            statuses: vec![StatusClassCount { class: 2, requests }],
            latency: bounds.map(bucket).collect(),
            latency_sum_us: requests * 150,
        }
    }

    /// Units of 100 services, each of which served this number of requests of each of 255 APIs.
    fn hundred_services(requests: u64) -> Traffic {
        let traffic = Traffic::default();
        for service in 1..=100 {
            let apis = (1..=255).map(|number| api(&format!("orders-{number}"), requests)).collect();
            let metrics = UnitMetrics { apis, ..UnitMetrics::default() };
            traffic.record(Incarnation(service), unit(&format!("contoso-{service}")), &metrics);
        }
        traffic
    }

    #[test]
    fn the_metrics_of_a_unit_are_those_that_it_last_reported() {
        let traffic = Traffic::default();
        let metrics = |requests| UnitMetrics {
            apis: vec![api("orders", requests), api("idle", 0)],
            unrouted: vec![StatusClassCount { class: 4, requests: 1 }],
            connections: 2,
            load: Some(UnitLoad { in_flight: 3, utilization_permille: 250 }),
        };
        traffic.record(Incarnation(7), unit("contoso"), &metrics(3));
        traffic.record(Incarnation(7), unit("contoso"), &metrics(5));
        let text = traffic.render();
        let expected = "\
# HELP meridian_gateway_requests_total Requests by service, API, incarnation of the unit, and status \
class; without an API: requests that match none, or that a limit refused.
# TYPE meridian_gateway_requests_total counter
meridian_gateway_requests_total{service=\"contoso\",api=\"\",incarnation=\"7\",status=\"4xx\"} 1
meridian_gateway_requests_total{service=\"contoso\",api=\"orders\",incarnation=\"7\",status=\"2xx\"} 5
# HELP meridian_gateway_api_duration_seconds_total Sum of the request durations by service, API, and \
incarnation of the unit.
# TYPE meridian_gateway_api_duration_seconds_total counter
meridian_gateway_api_duration_seconds_total{service=\"contoso\",api=\"orders\",incarnation=\"7\"} 0.00075
";
        assert!(text.starts_with(expected), "{text}");
        let labels = "service=\"contoso\",incarnation=\"7\"";
        for line in [
            format!("meridian_gateway_request_duration_seconds_bucket{{{labels},le=\"0.0001\"}} 5"),
            format!("meridian_gateway_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 5"),
            format!("meridian_gateway_request_duration_seconds_sum{{{labels}}} 0.00075"),
            format!("meridian_gateway_request_duration_seconds_count{{{labels}}} 5"),
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
        }
        let labels = "service=\"contoso\",unit=\"contoso/westeurope/1\",incarnation=\"7\"";
        for line in ["requests_in_flight{} 3", "utilization_ratio{} 0.25", "connections{} 2"] {
            let line = line.replace("{}", &format!("{{{labels}}}"));
            assert!(text.contains(&format!("\nmeridian_gateway_{line}\n")), "{line}: {text}");
        }
        assert!(!text.contains("idle"), "{text}");
    }

    #[test]
    fn the_metrics_of_a_unit_vanish_with_it() {
        let traffic = Traffic::default();
        let nothing = traffic.render();
        traffic.record(Incarnation(7), unit("contoso"), &UnitMetrics::default());
        assert!(traffic.render().contains("contoso"));
        traffic.remove(Incarnation(7));
        assert_eq!(traffic.render(), nothing);
    }

    #[test]
    fn a_scrape_of_a_hundred_services_with_255_apis_each_has_a_few_megabytes() {
        let busy = hundred_services(123_456).render();
        assert_eq!(busy.lines().filter(|line| line.contains("status=\"2xx\"")).count(), 25_500);
        println!("busy: {} bytes", busy.len());
        assert!(busy.len() < 6_000_000, "{} bytes", busy.len());
        let idle = hundred_services(0).render();
        println!("idle: {} bytes", idle.len());
        assert!(idle.len() < 50_000, "{} bytes", idle.len());
    }

    #[test]
    fn no_series_occurs_twice_and_every_family_is_described_once() {
        let text = hundred_services(1).render();
        let mut series = BTreeSet::new();
        let mut families = BTreeSet::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{line}");
            } else if !line.starts_with("# HELP ") {
                assert!(line.starts_with(family), "{line} is within the family {family}");
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(series.insert(name), "{line}");
            }
        }
        assert_eq!(families.len(), 6);
    }
}
