//! Calls on a cluster while it is changed and while it breaks. `src/bin/traffic.rs` says what is done
//! and what counts as lost.
//!
//! | module | does |
//! | --- | --- |
//! | `options` | how long |
//! | `cluster` | agents as processes, and what is asked of them |
//! | `lanes` | the loads that are kept |
//! | `phases` | what happens meanwhile, one thing after another |
//! | `report` | what came of the calls, phase by phase |

mod cluster;
mod lanes;
mod options;
mod phases;
mod report;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use cluster::Cluster;
use lanes::{Backends, Lanes};
pub use options::Options;
use phases::Phase;
pub use report::Report;

/// How long a phase lasts at least once its change is done: what a change breaks late is seen, too.
const SETTLING: Duration = Duration::from_secs(1);

/// Keeps the calls up through all phases. Every process that it starts ends with the returned future.
///
/// # Errors
/// If the cluster does not do what it is told. Lost calls are no error, but in the report.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let backends = Backends::start().await?;
    let cluster = Cluster::start().await?;
    phases::prepare(&cluster, &backends).await.context("the cluster does not get up")?;
    let lanes = Lanes::start(&cluster);
    let share = Duration::from_secs(options.seconds) / u32::try_from(Phase::ALL.len())?;
    let mut report = Report::default();
    for phase in Phase::ALL {
        let began = Instant::now();
        let done = phase.run(&cluster, &backends).await;
        if done.is_ok() {
            let rest = share.saturating_sub(began.elapsed()).max(SETTLING);
            tokio::time::sleep(rest).await;
        }
        report.add(phase, began.elapsed(), lanes.take());
        eprintln!("{}", report.last());
        done.with_context(|| format!("{phase:?}"))?;
    }
    report.add(Phase::End, Duration::ZERO, lanes.stop().await);
    Ok(report)
}
