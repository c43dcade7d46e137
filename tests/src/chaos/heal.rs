//! The end of a run: all faults are removed, the cluster converges, and nothing happens afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use meridian_domain::limits;
use meridian_proto::v1;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::history::{Outcome, Recorder, mark};
use tokio::time::{Instant, sleep};

use super::clients::event_only_change;
use super::cluster::Cluster;
use super::observe;
use super::operations::{Client, with_deadline, with_timeout};
use super::resources;

/// Timeout for convergence after the last fault ended.
pub const CONVERGENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout until the last gateways are found: the longest stable window, and a busy machine.
const FOUND_TIMEOUT: Duration = limits::MAX_STABLE_WINDOW.saturating_add(Duration::from_secs(30));
/// State of a ready unit that clients cannot reach.
const LOST: &str = "lost";
/// Poll interval.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Time for which the cluster must be in the desired state before it counts as quiescent.
const STABLE: Duration = Duration::from_secs(2);

/// Removes all faults that may be left.
pub fn remove_faults(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.network().heal();
    for (index, member) in cluster.members.iter().enumerate() {
        member.agent.machine()?.reset()?;
        if let Ok(disk) = cluster.disk(index) {
            disk.free()?;
        }
        match member.agent.process()? {
            Some(process) => process.thaw(),
            None => cluster.start_member(index)?,
        }
    }
    Ok(())
}

/// Changes and reads through every member, waits for convergence, and records the quiescent phase.
pub async fn converge(
    cluster: &Arc<Cluster>,
    recorder: &Recorder,
    quiescent: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + CONVERGENCE_TIMEOUT;
    let mut client = Client::new(cluster, recorder);
    for member in 0..cluster.members.len() {
        let mutation = event_only_change(u32::try_from(member % 3)? + 1);
        while Instant::now() < deadline {
            let outcome = client.attempt(member, &mutation).await?;
            if matches!(outcome, Outcome::Accepted { .. }) {
                break;
            }
            sleep(POLL_INTERVAL).await;
        }
        while Instant::now() < deadline && client.read(member, true).await?.is_none() {
            sleep(POLL_INTERVAL).await;
        }
    }
    if !wait_until_stable(cluster, recorder, deadline).await? {
        return Ok(());
    }
    recorder.mark(mark::CONVERGED);
    if !wait_until_found(cluster).await? {
        return Ok(());
    }
    recorder.mark(mark::QUIESCENT);
    record_states(cluster, recorder).await?;
    sleep(quiescent).await;
    record_states(cluster, recorder).await?;
    recorder.mark(mark::QUIESCENT_ENDED);
    resources::record(cluster, recorder).await
}

/// Waits until a new cluster has converged.
pub async fn wait_until_at_rest(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<()> {
    let deadline = Instant::now() + CONVERGENCE_TIMEOUT;
    let stable = wait_until_stable(cluster, recorder, deadline).await?;
    ensure!(stable, "the cluster has not converged before the load");
    Ok(())
}

/// Waits until all agents have the same state and the desired units are running, for [`STABLE`]
/// without a change. Returns false on a timeout.
async fn wait_until_stable(
    cluster: &Cluster,
    recorder: &Recorder,
    deadline: Instant,
) -> anyhow::Result<bool> {
    let mut stable: Option<(Instant, u64)> = None;
    let mut last_reason = String::new();
    while Instant::now() < deadline {
        match desired_state(cluster, recorder).await? {
            Ok(revision) => match stable.filter(|(_, before)| *before == revision) {
                Some((since, _)) if since.elapsed() >= STABLE => return Ok(true),
                Some(_) => {}
                None => stable = Some((Instant::now(), revision)),
            },
            Err(reason) => (stable, last_reason) = (None, reason),
        }
        sleep(POLL_INTERVAL).await;
    }
    eprintln!("the cluster did not become quiescent: {last_reason}");
    Ok(false)
}

/// Waits until no gateway is lost: those of a region that was lost often are found later than its units
/// are ready. Returns false on a timeout.
async fn wait_until_found(cluster: &Cluster) -> anyhow::Result<bool> {
    let deadline = Instant::now() + FOUND_TIMEOUT;
    let mut client = ServicesClient::new(cluster.connect(0)?);
    while Instant::now() < deadline {
        let units = client.list_units(with_deadline(v1::ListUnitsRequest::default()));
        if let Ok(units) = with_timeout(units).await
            && !units.into_inner().units.iter().any(|unit| unit.state == LOST)
        {
            return Ok(true);
        }
        sleep(POLL_INTERVAL).await;
    }
    eprintln!("gateways are still lost after {FOUND_TIMEOUT:?}");
    Ok(false)
}

/// Returns the revision if the cluster is in the desired state, or the reason why it is not.
async fn desired_state(
    cluster: &Cluster,
    recorder: &Recorder,
) -> anyhow::Result<Result<u64, String>> {
    let agents = match observe::states(cluster, 0).await? {
        Ok(agents) => agents,
        Err(reason) => return Ok(Err(reason)),
    };
    let positions: BTreeSet<_> = agents.iter().map(|it| (it.revision, &it.state_hash)).collect();
    let revision = match positions.first() {
        Some((Some(revision), _)) if positions.len() == 1 => *revision,
        _ => return Ok(Err(format!("the agents are at {positions:?}"))),
    };
    if agents.len() != cluster.members.len() {
        return Ok(Err(format!("{} agents are registered", agents.len())));
    }
    let mut client = ServicesClient::new(cluster.connect(0)?);
    let units =
        match with_timeout(client.list_units(with_deadline(v1::ListUnitsRequest::default()))).await
        {
            Ok(units) => units.into_inner().units,
            Err(status) => return Ok(Err(status.to_string())),
        };
    let is_ready = |unit: &v1::Unit| unit.state == "ready" || unit.state == LOST;
    if let Some(unit) = units.iter().find(|unit| !is_ready(unit)) {
        return Ok(Err(format!("unit {} is {}: {}", unit.unit, unit.state, unit.cause)));
    }
    let wanted: BTreeSet<_> = units.into_iter().map(|it| (it.unit, it.incarnation)).collect();
    let (_, table) = observe::table(cluster, recorder).unwrap_or_default();
    let running = table
        .iter()
        .map(|it| (format!("{}/{}/{}", it.service, it.region, it.slot), it.incarnation));
    let running: BTreeSet<_> = running.collect();
    if running != wanted {
        return Ok(Err(format!("running units {running:?}, desired {wanted:?}")));
    }
    Ok(Ok(revision))
}

/// Records the states of all agents as reported by each member.
async fn record_states(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<()> {
    for member in 0..cluster.members.len() {
        let Ok(agents) = observe::states(cluster, member).await? else { continue };
        for agent in agents {
            observe::record_state(recorder, agent);
        }
    }
    Ok(())
}
