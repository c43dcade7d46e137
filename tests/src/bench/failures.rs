//! A unit whose backends fail, called through to the end, while another API on it works.

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

/// The path of the API that works.
const GOOD: &str = "/good";
/// Its callers at a time, and their pause: they see the unit's delays, and are none themselves.
const CALLERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);
/// How long it is called alone at a time, for comparison.
const ALONE: Duration = Duration::from_secs(5);
/// The most that 99 of 100 of its calls may take while the other APIs fail: less than the fastest
/// of their time-outs, so that none of its calls waits for one of theirs.
const GOOD_P99: Duration = Duration::from_millis(100);
/// How long connections may take to be gone when no calls are left.
const SETTLING: Duration = Duration::from_secs(10);
/// How many descriptors, threads and bytes the unit may have more after the second half of the
/// calls than after the first one. Each of its threads keeps connections to backends, up to as many
/// as calls were ever on it at a time: which calls meet on a thread is chance. Against 50,000 calls
/// it is little.
const MORE_DESCRIPTORS: usize = 64;
const MORE_THREADS: usize = 0;
const MORE_BYTES: u64 = 4 << 20;

/// What the unit's process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    resident_bytes: u64,
}

/// Measures that.
///
/// # Errors
/// If the unit cannot be started, or a promise is broken: a call is answered wrongly or too late,
/// the API that works gets slow, or the unit's process grows.
pub async fn measure(options: &Options, program: &Path, root: &Path) -> anyhow::Result<Report> {
    let backend = Backend::start(([127, 0, 0, 1], 0).into()).await?;
    let unit = GatewayUnit::start(program, &root.join("unit-failures"), None).await?;
    let mut kinds = Vec::new();
    for kind in kinds::ALL {
        kinds.push(kind.start().await?);
    }
    let mut apis = kinds.iter().map(Running::api).collect::<Result<Vec<_>, _>>()?;
    apis.push(api("good", GOOD, backend.address()));
    unit.configure(&apis).await?;

    let good = Plan::download(unit.address(), GOOD, 1_000).connections(CALLERS).pause(PAUSE);
    let mut all = Outcome::default();
    all.alone.add(&alone(&good).await);
    all.held.push(rest(unit.process(), None).await?);
    for half in 0..2 {
        // Again and again, for whatever else the machine does meets both.
        all.alone.add(&alone(&good).await);
        let beside = Load::start(good.clone());
        let mut loads = Vec::new();
        for (kind, running) in kinds::ALL.iter().zip(&kinds) {
            loads.push((kind, Load::start(running.plan(unit.address(), options.calls / 2))));
        }
        for (kind, load) in loads {
            all.add(kind, load.finish().await);
        }
        all.beside.add(&beside.stop().await);
        all.held.push(rest(unit.process(), (half == 1).then(|| all.held[1])).await?);
    }
    for (kind, running) in kinds::ALL.iter().zip(&kinds) {
        eprintln!("{}: its backend was asked {} times", kind.name, running.requests());
    }
    let report = all.report();
    // With a broken promise, all that was seen is worth as much.
    all.check().inspect_err(|_| eprint!("{}", report.table()))?;
    Ok(report)
}

/// What comes of the API that works while no other is called.
async fn alone(plan: &Plan) -> Counts {
    let load = Load::start(plan.clone());
    sleep(ALONE).await;
    load.stop().await
}

/// Everything that was seen.
#[derive(Default)]
struct Outcome {
    alone: Counts,
    beside: Counts,
    kinds: Vec<(&'static Kind, Counts)>,
    /// At rest: before, after the first half, after the second.
    held: Vec<Held>,
}

impl Outcome {
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
            report.meridian(&format!("{name}: calls"), Unit::Count, counts.requests() as f64);
            let wrong = counts.requests() - kind.right(counts);
            report.meridian(&format!("{name}: answered wrongly"), Unit::Count, wrong as f64);
            if counts.successes > 0 {
                report.meridian(&format!("{name}: slowest"), Unit::Milliseconds, ms(counts.max()));
            }
        }
        for (name, counts) in [("alone", &self.alone), ("beside these", &self.beside)] {
            let figure = |what: &str| format!("working API {name}: {what}");
            report.meridian(&figure("calls"), Unit::Count, counts.requests() as f64);
            report.meridian(&figure("failures"), Unit::Count, counts.failed() as f64);
            let p99 = ms(counts.percentile(99.0));
            report.meridian(&figure("p99"), Unit::Milliseconds, p99);
        }
        for (when, held) in ["before", "after half of them", "after all"].iter().zip(&self.held) {
            let figure = |what: &str| format!("{what} {when}");
            report.meridian(&figure("descriptors"), Unit::Count, held.descriptors as f64);
            report.meridian(&figure("threads"), Unit::Count, held.threads as f64);
            let mebibytes = held.resident_bytes as f64 / f64::from(1 << 20);
            report.meridian(&figure("resident memory"), Unit::Mebibytes, mebibytes);
        }
        report
    }

    /// Whether all promises are kept.
    fn check(&self) -> anyhow::Result<()> {
        for (kind, counts) in &self.kinds {
            ensure!(kind.right(counts) == counts.requests(), "{}: {counts}", kind.name);
        }
        for counts in [&self.alone, &self.beside] {
            ensure!(counts.failed() == 0, "calls of the API that works fail: {counts}");
        }
        let p99 = self.beside.percentile(99.0);
        ensure!(
            p99 < GOOD_P99,
            "the API that works has a p99 of {p99:?}: {GOOD_P99:?} is the bound"
        );
        let [_, half, end] = self.held[..] else { anyhow::bail!("not all was looked at") };
        ensure!(
            end.descriptors <= half.descriptors + MORE_DESCRIPTORS
                && end.threads <= half.threads + MORE_THREADS
                && end.resident_bytes <= half.resident_bytes + MORE_BYTES,
            "the unit grows with the calls that fail: {half:?} after half of them, {end:?} after all"
        );
        Ok(())
    }
}

/// What the process holds once it has no calls: as soon as it has no more descriptors than `before`,
/// or when that takes too long; without a `before`, once they do not get fewer.
async fn rest(process: &Process, before: Option<Held>) -> anyhow::Result<Held> {
    let deadline = Instant::now() + SETTLING;
    let mut least = process.descriptors()?;
    loop {
        sleep(RESPONSE_TIMEOUT).await;
        let descriptors = process.descriptors()?;
        let settled =
            before.map_or(descriptors >= least, |before| descriptors <= before.descriptors);
        if settled || Instant::now() > deadline {
            let (threads, resident_bytes) = (process.threads()?, process.resident_bytes()?);
            return Ok(Held { descriptors, threads, resident_bytes });
        }
        least = descriptors;
    }
}
