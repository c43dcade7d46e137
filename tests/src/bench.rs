//! The benchmark. `src/bin/bench.rs` defines the metrics.
//!
//! | module | purpose |
//! | --- | --- |
//! | `options` | command-line options |
//! | `member` | the cluster interface used by all measurements |
//! | `agents`, `changes` | that interface for Meridian: processes and client |
//! | `etcd` | that interface for etcd |
//! | `gateway` | gateway units compared with nginx, as proxies in front of the same backend |
//! | `failures` | a gateway unit with failing backends |
//! | `routing` | decisions of the routing |
//! | `process` | a child process |
//! | `load`, `failover`, `scale`, `restart` | one measurement each |
//! | `report` | medians, ratios and output |

mod agents;
mod changes;
mod etcd;
mod failover;
mod failures;
mod gateway;
mod load;
mod member;
mod options;
mod process;
mod report;
mod restart;
mod routing;
mod scale;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use agents::Agents;
use etcd::Etcd;
use member::Cluster as _;
pub use options::{Measurement, Options};
pub use report::Report;
use report::Unit;

/// Time for a new cluster to become idle before its memory is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// Runs the selected measurements. All child processes are killed when the returned future
/// completes or is dropped.
///
/// # Errors
/// If a process cannot be started or a measurement fails or times out.
pub async fn run(options: Options) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    if options.measures(Measurement::Routing) {
        reports.push(routing::measure(&options)?);
    }
    if !options.measures_processes() {
        return Ok(reports);
    }
    let root = options.directory()?;
    let program = agents::program(options.program.as_deref()).await?;
    if options.measures(Measurement::Gateway) {
        reports.extend(gateway::measure(&options, &program, root.path()).await?);
    }
    if options.measures(Measurement::Failures) {
        reports.push(failures::measure(&options, &program, root.path()).await?);
    }
    if options.measures_cluster() {
        let bench = Bench::start(options, program, root).await?;
        reports.push(bench.run().await?);
    }
    Ok(reports)
}

/// Both clusters and the results so far. Field order is drop order: the processes end before their
/// directory is removed.
struct Bench {
    agents: Agents,
    etcd: Option<Etcd>,
    options: Options,
    report: Report,
    _root: TempDir,
}

impl Bench {
    async fn start(options: Options, program: PathBuf, root: TempDir) -> anyhow::Result<Self> {
        let agents =
            Agents::start(program, root.path()).await.context("cannot start the agents")?;
        let wanted = !options.skip_etcd && options.compares();
        let etcd = if wanted {
            Etcd::start(root.path()).await.context("cannot start etcd")?
        } else {
            None
        };
        let report = Report::new(etcd.is_some().then_some(Etcd::NAME));
        if wanted && etcd.is_none() {
            eprintln!("etcd is not installed; skipping the comparison");
        }
        Ok(Self { agents, etcd, options, report, _root: root })
    }

    async fn run(mut self) -> anyhow::Result<Report> {
        if self.measures(Measurement::Memory) {
            self.memory().await?;
        }
        if self.measures(Measurement::Scale) {
            self.scale().await?;
        }
        if self.measures(Measurement::Changes) {
            self.changes().await?;
        }
        if self.measures(Measurement::Failover) {
            self.failover().await?;
        }
        if self.measures(Measurement::Restart) {
            self.restart().await?;
        }
        Ok(self.report)
    }

    fn measures(&self, measurement: Measurement) -> bool {
        self.options.measures(measurement)
    }

    async fn memory(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(SETTLE).await;
        for bytes in self.agents.resident_bytes()? {
            self.report.meridian("idle agent: resident memory", Unit::Mebibytes, mebibytes(bytes));
        }
        Ok(())
    }

    async fn changes(&mut self) -> anyhow::Result<()> {
        for round in 0..self.options.rounds {
            for &clients in &self.options.clients {
                let time = Duration::from_secs(self.options.seconds);
                let load = load::Load { clients, first: round, time };
                let sample = load.run(&self.agents).await?;
                eprintln!("round {round}, {clients} clients: {} {sample}", Agents::NAME);
                self.report.load(false, clients, &sample);
                if let Some(etcd) = &self.etcd {
                    let sample = load.run(etcd).await?;
                    eprintln!("round {round}, {clients} clients: {} {sample}", Etcd::NAME);
                    self.report.load(true, clients, &sample);
                }
            }
        }
        Ok(())
    }

    async fn failover(&mut self) -> anyhow::Result<()> {
        let name = "leader killed to first write";
        for round in 0..self.options.rounds {
            let elapsed = failover::measure(&mut self.agents).await?;
            eprintln!("round {round}, failover: {} {elapsed:?}", Agents::NAME);
            self.report.meridian(name, Unit::Milliseconds, milliseconds(elapsed));
            if let Some(etcd) = &mut self.etcd {
                let elapsed = failover::measure(etcd).await?;
                eprintln!("round {round}, failover: {} {elapsed:?}", Etcd::NAME);
                self.report.other(name, Unit::Milliseconds, milliseconds(elapsed));
            }
        }
        Ok(())
    }

    async fn scale(&mut self) -> anyhow::Result<()> {
        for elapsed in scale::measure(&self.agents).await? {
            let name = "scale acknowledged to unit ready";
            self.report.meridian(name, Unit::Milliseconds, milliseconds(elapsed));
        }
        Ok(())
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        let events = self.options.events;
        restart::fill(&self.agents, events).await?;
        for round in 0..self.options.rounds {
            let restart = restart::measure(&mut self.agents).await?;
            eprintln!("round {round}, restart: {restart:?}");
            let name = format!("restart with {events} events");
            self.report.meridian(&name, Unit::Milliseconds, milliseconds(restart.elapsed));
            let name = format!("resident memory with {events} events");
            self.report.meridian(&name, Unit::Mebibytes, mebibytes(restart.resident_bytes));
        }
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
