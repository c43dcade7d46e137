//! Samples of the resources that the agents hold at rest.

use std::time::Duration;

use anyhow::Context as _;
use meridian_testkit::history::{Record, Recorder, Resources};
use meridian_testkit::process::Usage;
use tokio::time::sleep;

use super::cluster::Cluster;

/// Number of observations per sample: the least of each number counts, so that requests of the
/// observers do not.
const OBSERVATIONS: usize = 10;
/// Interval between observations: not a multiple of that of the observers.
const INTERVAL: Duration = Duration::from_millis(130);

/// Records the resources of every agent.
///
/// # Errors
/// If an agent is not running.
pub async fn record(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<()> {
    let mut least = observe(cluster)?;
    for _ in 1..OBSERVATIONS {
        sleep(INTERVAL).await;
        let usages = least.into_iter().zip(observe(cluster)?);
        least = usages.map(|(a, b)| a.min(b)).collect();
    }
    for (index, usage) in least.into_iter().enumerate() {
        let Usage { descriptors, sockets, threads, resident_kib } = usage;
        recorder.append(&Record::Resources(Resources {
            at: recorder.now(),
            node: cluster.members[index].name(),
            leader: cluster.leader() == Some(index),
            units: cluster.units(index)?.len() as u64,
            descriptors,
            sockets,
            threads,
            resident_kib,
        }));
    }
    Ok(())
}

fn observe(cluster: &Cluster) -> anyhow::Result<Vec<Usage>> {
    let usage = |agent: &meridian_testkit::process::Agent| {
        Usage::of(
            &agent.process()?.with_context(|| format!("agent {} is not running", agent.name))?,
        )
    };
    cluster.members.iter().map(|member| usage(&member.agent)).collect()
}
