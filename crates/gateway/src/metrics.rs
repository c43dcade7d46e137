//! What a unit counts. Each worker counts for itself, so that cores do not wait for each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meridian_proto::v1::{ApiMetrics, LatencyBucket, StatusClassCount, UnitLoad, UnitMetrics};

/// Classes of statuses, 1xx to 5xx.
const CLASSES: usize = 5;
/// Upper bounds of the buckets, in microseconds; the last bucket has none.
const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// APIs that are remembered. Of those beyond, only the ones that are served.
const MOST_REMEMBERED: usize = 1024;

/// What a unit counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: usize,
    apis: Mutex<BTreeMap<String, Arc<Counters>>>,
    unrouted: Counters,
    connections: AtomicU32,
}

/// The calls of an API: a part for each worker.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Part]>);

/// The calls of an API that one worker had. Aligned so that two never share a line of a cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    classes: [AtomicU64; CLASSES],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Part::default()).collect())
    }

    /// Counts a call that `worker` answered with `status` and that took `time` to its end.
    pub(crate) fn record(&self, worker: usize, status: u16, time: Duration) {
        let part = &self.0[worker];
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        part.classes[class].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        part.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        part.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn sum(&self, of: impl Fn(&Part) -> &AtomicU64) -> u64 {
        self.0.iter().map(|part| of(part).load(Ordering::Relaxed)).sum()
    }

    fn statuses(&self) -> Vec<StatusClassCount> {
        let counts = (0..CLASSES).zip(1..).map(|(index, class)| StatusClassCount {
            class,
            calls: self.sum(|part| &part.classes[index]),
        });
        counts.filter(|count| count.calls > 0).collect()
    }

    fn latency(&self) -> Vec<LatencyBucket> {
        let mut calls = 0;
        let bounds = BOUNDS_US.into_iter().chain([0]).enumerate();
        bounds
            .map(|(index, at_most_us)| {
                calls += self.sum(|part| &part.buckets[index]);
                LatencyBucket { at_most_us, calls }
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

    /// The counters of `api`, which go on where an API of that name was served before.
    pub(crate) fn counters(&self, api: &str) -> Arc<Counters> {
        let apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        apis.get(api).cloned().unwrap_or_else(|| Arc::new(Counters::new(self.workers)))
    }

    /// Remembers the counters of the APIs that are served from now on.
    pub(crate) fn remember<'a>(&self, served: impl Iterator<Item = (&'a str, &'a Arc<Counters>)>) {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let served: BTreeMap<_, _> =
            served.map(|(name, counters)| (name.to_owned(), Arc::clone(counters))).collect();
        if apis.len() + served.len() > MOST_REMEMBERED {
            apis.clear();
        }
        apis.extend(served);
    }

    /// The counters of calls that no API got.
    pub(crate) fn unrouted(&self) -> &Counters {
        &self.unrouted
    }

    /// Connections of callers that are open.
    pub(crate) fn connections(&self) -> &AtomicU32 {
        &self.connections
    }

    pub(crate) fn read(&self, load: UnitLoad) -> UnitMetrics {
        let apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(api, counters): (&String, &Arc<Counters>)| ApiMetrics {
            api: api.clone(),
            statuses: counters.statuses(),
            latency: counters.latency(),
            latency_sum_us: counters.sum(|part| &part.sum_us),
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
    fn the_parts_of_the_workers_are_one_cumulative_histogram() {
        let counters = Counters::new(2);
        counters.record(0, 200, Duration::from_micros(100));
        counters.record(1, 204, Duration::from_micros(101));
        counters.record(1, 503, Duration::from_secs(60));
        let count = |class, calls| StatusClassCount { class, calls };
        assert_eq!(counters.statuses(), [count(2, 2), count(5, 1)]);
        let latency = counters.latency();
        let bucket = |at_most_us, calls| LatencyBucket { at_most_us, calls };
        assert_eq!(latency[..2], [bucket(100, 1), bucket(250, 2)]);
        assert_eq!(latency[latency.len() - 2..], [bucket(10_000_000, 2), bucket(0, 3)]);
        assert_eq!(counters.sum(|part| &part.sum_us), 60_000_201);
    }

    #[test]
    fn an_api_that_comes_back_goes_on_counting() {
        let metrics = Metrics::new(1);
        let orders = metrics.counters("orders");
        orders.record(0, 200, Duration::ZERO);
        metrics.remember([("orders", &orders)].into_iter());
        metrics.remember([].into_iter());
        metrics.counters("orders").record(0, 200, Duration::ZERO);
        assert_eq!(metrics.read(UnitLoad::default()).apis[0].statuses[0].calls, 2);
    }
}
