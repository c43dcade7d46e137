//! A unit with failing backends, under load, while another API of the unit has a healthy backend.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::gateway::unit::{GatewayUnit, api};
use super::options::Options;
use super::process::Process;
use super::report::{Report, Unit};
use crate::load::{Backend, Counts, Load, Plan};

mod kinds;

use kinds::{Kind, RESPONSE_TIMEOUT, Running};

/// Path of the API with the healthy backend.
const HEALTHY_PATH: &str = "/healthy";
/// Number of its concurrent clients and their think time: enough to observe delays of the unit, too
/// few to cause any.
const CLIENTS: usize = 8;
const THINK_TIME: Duration = Duration::from_millis(5);
/// Duration of each baseline measurement, without failing backends.
const BASELINE: Duration = Duration::from_secs(5);
/// Maximum p99 latency of the healthy API while the other backends fail. It is below their shortest
/// timeout, so that no request to the healthy API can be waiting for one of theirs.
const MAX_HEALTHY_P99: Duration = Duration::from_millis(100);
/// Maximum time for connections to close after the last request.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum growth of the unit's process in the second half of the requests. Each of its threads
/// pools connections to backends, up to the maximum number of concurrent requests it ever had; the
/// distribution of requests over threads is random. For 50,000 requests the limits are small.
const MAX_MORE_DESCRIPTORS: usize = 64;
const MAX_MORE_THREADS: usize = 0;
const MAX_MORE_BYTES: u64 = 4 << 20;

/// Resource usage of the unit's process.
#[derive(Debug, Clone, Copy)]
struct Usage {
    descriptors: usize,
    threads: usize,
    resident_bytes: u64,
}

/// Runs the measurement.
///
/// # Errors
/// If the unit cannot be started, or fails a check: a response is wrong or late, the healthy API
/// becomes slow, or the unit's process grows.
pub async fn measure(options: &Options, program: &Path, root: &Path) -> anyhow::Result<Report> {
    let backend = Backend::start(([127, 0, 0, 1], 0).into()).await?;
    let unit = GatewayUnit::start(program, &root.join("unit-failures"), None).await?;
    let mut kinds = Vec::new();
    for kind in kinds::ALL {
        kinds.push(kind.start().await?);
    }
    let mut apis = kinds.iter().map(Running::api).collect::<Result<Vec<_>, _>>()?;
    apis.push(api("healthy", HEALTHY_PATH, backend.address()));
    unit.configure(&apis).await?;

    let healthy = Plan::download(unit.address(), HEALTHY_PATH, 1_000)
        .connections(CLIENTS)
        .think_time(THINK_TIME);
    let mut results = Results::default();
    results.baseline.add(&baseline(&healthy).await);
    results.usage.push(idle_usage(unit.process(), None).await?);
    for half in 0..2 {
        // Repeated for each half, so that background load of the machine affects both.
        results.baseline.add(&baseline(&healthy).await);
        let concurrent = Load::start(healthy.clone());
        let mut loads = Vec::new();
        for (kind, running) in kinds::ALL.iter().zip(&kinds) {
            loads.push((kind, Load::start(running.plan(unit.address(), options.requests / 2))));
        }
        for (kind, load) in loads {
            results.add(kind, load.finish().await);
        }
        results.concurrent.add(&concurrent.stop().await);
        let before = (half == 1).then(|| results.usage[1]);
        results.usage.push(idle_usage(unit.process(), before).await?);
    }
    for (kind, running) in kinds::ALL.iter().zip(&kinds) {
        eprintln!("{}: its backend received {} requests", kind.name, running.requests());
    }
    let report = results.report();
    // Print the results of a failed check, too.
    results.check().inspect_err(|_| eprint!("{}", report.table()))?;
    Ok(report)
}

/// Measures the healthy API without load on the others.
async fn baseline(plan: &Plan) -> Counts {
    let load = Load::start(plan.clone());
    sleep(BASELINE).await;
    load.stop().await
}

/// All results.
#[derive(Default)]
struct Results {
    baseline: Counts,
    concurrent: Counts,
    kinds: Vec<(&'static Kind, Counts)>,
    /// Idle usage at the start, after the first half and after the second half.
    usage: Vec<Usage>,
}

impl Results {
    fn add(&mut self, kind: &'static Kind, counts: Counts) {
        match self.kinds.iter_mut().find(|(known, _)| known.name == kind.name) {
            Some((_, all)) => all.add(&counts),
            None => self.kinds.push((kind, counts)),
        }
    }

    fn report(&self) -> Report {
        let mut report = Report::new(None);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        for (kind, counts) in &self.kinds {
            let name = kind.name;
            report.meridian(&format!("{name}: requests"), Unit::Count, counts.requests() as f64);
            let unexpected = counts.requests() - kind.expected(counts);
            report.meridian(&format!("{name}: unexpected"), Unit::Count, unexpected as f64);
            if counts.successes > 0 {
                report.meridian(&format!("{name}: slowest"), Unit::Milliseconds, ms(counts.max()));
            }
        }
        for (name, counts) in [("alone", &self.baseline), ("concurrent", &self.concurrent)] {
            let metric = |what: &str| format!("healthy API {name}: {what}");
            report.meridian(&metric("requests"), Unit::Count, counts.requests() as f64);
            report.meridian(&metric("failures"), Unit::Count, counts.failed() as f64);
            let p99 = ms(counts.percentile(99.0));
            report.meridian(&metric("p99"), Unit::Milliseconds, p99);
        }
        for (when, usage) in ["before", "after half", "after all"].iter().zip(&self.usage) {
            let metric = |what: &str| format!("{what} {when}");
            report.meridian(&metric("descriptors"), Unit::Count, usage.descriptors as f64);
            report.meridian(&metric("threads"), Unit::Count, usage.threads as f64);
            let mebibytes = usage.resident_bytes as f64 / f64::from(1 << 20);
            report.meridian(&metric("resident memory"), Unit::Mebibytes, mebibytes);
        }
        report
    }

    /// Checks the results against the limits.
    fn check(&self) -> anyhow::Result<()> {
        for (kind, counts) in &self.kinds {
            ensure!(kind.expected(counts) == counts.requests(), "{}: {counts}", kind.name);
        }
        for counts in [&self.baseline, &self.concurrent] {
            ensure!(counts.failed() == 0, "requests to the healthy API failed: {counts}");
        }
        let p99 = self.concurrent.percentile(99.0);
        ensure!(
            p99 < MAX_HEALTHY_P99,
            "p99 of the healthy API is {p99:?}, maximum {MAX_HEALTHY_P99:?}"
        );
        let [_, half, end] = self.usage[..] else { anyhow::bail!("a usage sample is missing") };
        ensure!(
            end.descriptors <= half.descriptors + MAX_MORE_DESCRIPTORS
                && end.threads <= half.threads + MAX_MORE_THREADS
                && end.resident_bytes <= half.resident_bytes + MAX_MORE_BYTES,
            "the unit grows with failing requests: {half:?} after half of them, {end:?} after all"
        );
        Ok(())
    }
}

/// Waits for the process to become idle, but at most for [`DRAIN_TIMEOUT`], and returns its usage.
/// An idle process has no more descriptors than `before`. Without `before`, it is idle when the
/// number of descriptors has stopped falling.
async fn idle_usage(process: &Process, before: Option<Usage>) -> anyhow::Result<Usage> {
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let mut lowest = process.descriptors()?;
    loop {
        sleep(RESPONSE_TIMEOUT).await;
        let descriptors = process.descriptors()?;
        let idle = before.map_or(descriptors >= lowest, |before| descriptors <= before.descriptors);
        if idle || Instant::now() > deadline {
            let (threads, resident_bytes) = (process.threads()?, process.resident_bytes()?);
            return Ok(Usage { descriptors, threads, resident_bytes });
        }
        lowest = descriptors;
    }
}
