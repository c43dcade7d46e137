//! Requests to a cluster during changes and crashes. See `src/bin/traffic.rs` for the phases and
//! the definition of a lost request.
//!
//! | module | purpose |
//! | --- | --- |
//! | `options` | command-line options |
//! | `cluster` | agent processes, and commands to them |
//! | `workloads` | the constant loads |
//! | `phases` | the changes and crashes, in sequence |
//! | `report` | results of the requests by phase |

mod cluster;
mod options;
mod phases;
mod report;
mod workloads;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use cluster::Cluster;
pub use options::Options;
use phases::Phase;
pub use report::Report;
use workloads::{Backends, Workloads};

/// Minimum duration of a phase after its change is complete, to observe delayed effects.
const SETTLE: Duration = Duration::from_secs(1);

/// Keeps the load running through all phases. All child processes are killed when the returned
/// future completes or is dropped.
///
/// # Errors
/// If the cluster does not reach the expected state. Lost requests are not an error; they are in
/// the report.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let backends = Backends::start().await?;
    let cluster = Cluster::start().await?;
    phases::prepare(&cluster, &backends).await.context("cannot set up the cluster")?;
    let phases = Phase::UNITS.len() + Phase::REGIONS.len();
    let share = Duration::from_secs(options.seconds) / u32::try_from(phases)?;
    let mut report = Report::default();
    let workloads = Workloads::start(&cluster);
    run_phases(&Phase::UNITS, share, &cluster, &backends, workloads, &mut report).await?;
    let workloads = Workloads::resolving(&cluster).await.context("cannot resolve the name")?;
    run_phases(&Phase::REGIONS, share, &cluster, &backends, workloads, &mut report).await?;
    Ok(report)
}

async fn run_phases(
    phases: &[Phase],
    share: Duration,
    cluster: &Cluster,
    backends: &Backends,
    workloads: Workloads,
    report: &mut Report,
) -> anyhow::Result<()> {
    for &phase in phases {
        let began = Instant::now();
        let done = phase.run(cluster, backends).await;
        if done.is_ok() {
            let rest = share.saturating_sub(began.elapsed()).max(SETTLE);
            tokio::time::sleep(rest).await;
        }
        report.add(phase, began.elapsed(), workloads.take());
        eprintln!("{}", report.last());
        done.with_context(|| format!("{phase:?}"))?;
    }
    report.add(Phase::End, Duration::ZERO, workloads.stop().await);
    Ok(())
}
