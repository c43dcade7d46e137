//! Alternates units and nginx as proxies in front of the same backend, under load by wrk.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::member::{free_address, until};
use super::options::Options;
use super::report::{Report, Unit};

pub mod cores;
pub mod nginx;
pub mod unit;
pub mod wrk;

use cores::Cores;
use nginx::Nginx;
use unit::GatewayUnit;
use wrk::Sample;

/// Body sizes in bytes, with their labels.
const SIZES: [(usize, &str); 2] = [(1_000, "1 kB"), (100_000, "100 kB")];
/// Base path of the API; the rest of the path is the backend's.
const API: &str = "/orders";
/// Warm-up time of each proxy.
const WARM_UP: Duration = Duration::from_secs(1);

/// Both proxies with the same number of workers.
struct Proxies {
    workers: usize,
    unit: GatewayUnit,
    nginx: Nginx,
}

/// Measures both; returns `None` if nginx or wrk is not installed.
///
/// # Errors
/// If a process cannot be started or a request fails.
pub async fn measure(
    options: &Options,
    program: &Path,
    root: &Path,
) -> anyhow::Result<Option<Report>> {
    for (missing, name) in
        [(!nginx::is_installed().await, "nginx"), (!wrk::is_installed().await, "wrk")]
    {
        if missing {
            eprintln!("{name} is not installed; skipping the gateway");
            return Ok(None);
        }
    }
    let cores = Cores::allowed()?;
    let (directory, sizes) = (root.join("backend"), SIZES.map(|(bytes, _)| bytes));
    let backend = Nginx::backend(&directory, &cores.others(1), &sizes).await;
    let backend = backend.context("cannot start the backend")?;
    let mut proxies = Vec::new();
    for workers in 1..=cores.count().min(2) {
        let own = cores.first(workers);
        let directory = root.join(format!("unit-{workers}"));
        let unit = GatewayUnit::start(program, &directory, Some(&own)).await?;
        unit.configure(&[unit::api("orders", API, backend.address())]).await?;
        let directory = root.join(format!("nginx-{workers}"));
        let nginx = Nginx::proxy(&directory, &own, workers, API, backend.address()).await?;
        proxies.push(Proxies { workers, unit, nginx });
    }
    let mut report = Report::new(Some("nginx"));
    for round in 0..options.rounds {
        for proxies in &proxies {
            let others = cores.others(proxies.workers);
            for size in SIZES {
                proxies.round(options, &mut report, round, size, &others).await?;
            }
        }
        for (bytes, label) in SIZES {
            let url = format!("http://{}/bytes/{bytes}", backend.address());
            let sample = wrk::run(&url, 1, &cores.others(1), time(options)).await?;
            eprintln!("round {round}, {label}: backend only {sample}");
        }
    }
    Ok(Some(report))
}

impl Proxies {
    /// Measures both; the order alternates between rounds.
    async fn round(
        &self,
        options: &Options,
        report: &mut Report,
        round: u16,
        (bytes, size): (usize, &str),
        cores: &str,
    ) -> anyhow::Result<()> {
        let workers = self.workers;
        let cores_label = if workers == 1 { "1 core" } else { "2 cores" };
        let label = format!("{cores_label}, {size}");
        for turn in 0..2 {
            let is_nginx = (round + turn) % 2 == 1;
            let address = if is_nginx { self.nginx.address() } else { self.unit.address() };
            let process = if is_nginx { self.nginx.process() } else { self.unit.process() };
            let url = format!("http://{address}{API}/bytes/{bytes}");
            wrk::run(&url, workers, cores, WARM_UP).await?;
            let before = process.total_cpu_time()?;
            let sample = wrk::run(&url, workers, cores, time(options)).await?;
            let used = process.total_cpu_time()? - before;
            let name = if is_nginx { "nginx" } else { "meridian" };
            let used = used.as_secs_f64() * 1e6 / sample.requests as f64;
            eprintln!("round {round}, {label}: {name} {sample}, {used:.1} us CPU per request");
            add(report, is_nginx, &label, &sample, used);
        }
        Ok(())
    }
}

fn time(options: &Options) -> Duration {
    Duration::from_secs(options.seconds)
}

fn add(report: &mut Report, is_nginx: bool, label: &str, sample: &Sample, used: f64) {
    for (what, unit, value) in [
        ("requests", Unit::PerSecond, sample.per_second),
        ("median", Unit::Milliseconds, sample.median.as_secs_f64() * 1e3),
        ("p99", Unit::Milliseconds, sample.p99.as_secs_f64() * 1e3),
        ("CPU time per request", Unit::Microseconds, used),
    ] {
        let name = format!("{label}: {what}");
        if is_nginx {
            report.other(&name, unit, value);
        } else {
            report.meridian(&name, unit, value);
        }
    }
}
