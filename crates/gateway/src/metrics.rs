//! Counters of a unit. Each worker has its own, so that cores do not contend.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meridian_proto::v1::{ApiMetrics, LatencyBucket, StatusClassCount, UnitLoad, UnitMetrics};

/// Number of status classes, 1xx to 5xx.
const CLASSES: usize = 5;
/// Upper bounds of the latency buckets, in microseconds; one more bucket is unbounded.
const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// Maximum number of APIs whose counters are retained. Above it, only the counters of the APIs in
/// the configuration are retained.
const MAX_RETAINED_APIS: usize = 1024;

/// Counters of a unit.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: usize,
    apis: Mutex<BTreeMap<String, Arc<Counters>>>,
    unrouted: Counters,
    connections: AtomicU32,
}

/// Counters of one API, with a shard per worker.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Shard]>);

/// Counters of one API in one worker. Aligned so that two shards never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    classes: [AtomicU64; CLASSES],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Shard::default()).collect())
    }

    /// Counts a request that `worker` finished with `status` after `duration`.
    pub(crate) fn record(&self, worker: usize, status: u16, duration: Duration) {
        let shard = &self.0[worker];
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        shard.classes[class].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        shard.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        shard.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.0.iter().map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
    }

    fn statuses(&self) -> Vec<StatusClassCount> {
        let counts = (0..CLASSES).zip(1..).map(|(index, class)| StatusClassCount {
            class,
            requests: self.sum(|shard| &shard.classes[index]),
        });
        counts.filter(|count| count.requests > 0).collect()
    }

    fn latency(&self) -> Vec<LatencyBucket> {
        let mut requests = 0;
        let bounds = BOUNDS_US.into_iter().chain([0]).enumerate();
        bounds
            .map(|(index, upper_bound_us)| {
                requests += self.sum(|shard| &shard.buckets[index]);
                LatencyBucket { upper_bound_us, requests }
            })
            .collect()
    }
}

impl Metrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            apis: Mutex::default(),
            unrouted: Counters::new(workers),
            connections: AtomicU32::new(0),
        }
    }

    /// Returns the counters of `api`. They continue if an API of that name was served before.
    pub(crate) fn counters(&self, api: &str) -> Arc<Counters> {
        let apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        apis.get(api).cloned().unwrap_or_else(|| Arc::new(Counters::new(self.workers)))
    }

    /// Retains the counters of the APIs that are `served` from now on.
    pub(crate) fn retain<'a>(&self, served: impl Iterator<Item = (&'a str, &'a Arc<Counters>)>) {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let served: BTreeMap<_, _> =
            served.map(|(name, counters)| (name.to_owned(), Arc::clone(counters))).collect();
        if apis.len() + served.len() > MAX_RETAINED_APIS {
            apis.clear();
        }
        apis.extend(served);
    }

    /// Returns the counters of requests that matched no API.
    pub(crate) fn unrouted(&self) -> &Counters {
        &self.unrouted
    }

    /// Returns the counter of open client connections.
    pub(crate) fn connections(&self) -> &AtomicU32 {
        &self.connections
    }

    pub(crate) fn read(&self, load: UnitLoad) -> UnitMetrics {
        let apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(api, counters): (&String, &Arc<Counters>)| ApiMetrics {
            api: api.clone(),
            statuses: counters.statuses(),
            latency: counters.latency(),
            latency_sum_us: counters.sum(|shard| &shard.sum_us),
        };
        UnitMetrics {
            apis: apis.iter().map(read).collect(),
            unrouted: self.unrouted.statuses(),
            connections: self.connections.load(Ordering::Relaxed),
            load: Some(load),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_all_workers_add_up_to_one_cumulative_histogram() {
        let counters = Counters::new(2);
        counters.record(0, 200, Duration::from_micros(100));
        counters.record(1, 204, Duration::from_micros(101));
        counters.record(1, 503, Duration::from_secs(60));
        let count = |class, requests| StatusClassCount { class, requests };
        assert_eq!(counters.statuses(), [count(2, 2), count(5, 1)]);
        let latency = counters.latency();
        let bucket = |upper_bound_us, requests| LatencyBucket { upper_bound_us, requests };
        assert_eq!(latency[..2], [bucket(100, 1), bucket(250, 2)]);
        assert_eq!(latency[latency.len() - 2..], [bucket(10_000_000, 2), bucket(0, 3)]);
        assert_eq!(counters.sum(|shard| &shard.sum_us), 60_000_201);
    }

    #[test]
    fn the_counters_of_a_removed_api_continue_when_it_returns() {
        let metrics = Metrics::new(1);
        let orders = metrics.counters("orders");
        orders.record(0, 200, Duration::ZERO);
        metrics.retain([("orders", &orders)].into_iter());
        metrics.retain([].into_iter());
        metrics.counters("orders").record(0, 200, Duration::ZERO);
        assert_eq!(metrics.read(UnitLoad::default()).apis[0].statuses[0].requests, 2);
    }
}
