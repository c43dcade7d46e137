//! The end of a run: all faults end, the cluster converges, and then nothing is to happen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::v1;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::history::{Answer, Recorder, mark};
use tokio::time::{Instant, sleep};

use super::calls::{Caller, bounded, timed};
use super::clients::harmless;
use super::cluster::Cluster;
use super::observe;

/// How long healing may take.
pub const BOUND: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long all has to be as it should, until the calm begins.
const STILL: Duration = Duration::from_secs(2);

/// Ends what a fault may have left behind.
pub fn mend(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.network().heal();
    for (index, member) in cluster.members.iter().enumerate() {
        member.agent.machine()?.mend()?;
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

/// Works with every member, waits until all is as wanted, and watches the calm.
pub async fn converge(
    cluster: &Arc<Cluster>,
    recorder: &Recorder,
    calm: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + BOUND;
    let mut caller = Caller::new(cluster, recorder);
    for member in 0..cluster.members.len() {
        let ask = harmless(u32::try_from(member % 3)? + 1);
        while Instant::now() < deadline {
            let answer = caller.attempt(member, &ask).await?;
            if matches!(answer, Answer::Accepted { .. }) {
                break;
            }
            sleep(LOOK).await;
        }
        while Instant::now() < deadline && caller.read(member, true).await?.is_none() {
            sleep(LOOK).await;
        }
    }
    if !rest(cluster, recorder, deadline).await? {
        return Ok(());
    }
    recorder.mark(mark::CALM);
    tell_states(cluster, recorder).await?;
    sleep(calm).await;
    tell_states(cluster, recorder).await?;
    recorder.mark(mark::CALM_ENDED);
    Ok(())
}

/// Waits until all agents have the same state and what runs is what is wanted, for a while.
async fn rest(cluster: &Cluster, recorder: &Recorder, deadline: Instant) -> anyhow::Result<bool> {
    let mut still: Option<(Instant, u64)> = None;
    let mut why = String::new();
    while Instant::now() < deadline {
        match as_wanted(cluster, recorder).await? {
            Ok(revision) => match still.filter(|(_, before)| *before == revision) {
                Some((since, _)) if since.elapsed() >= STILL => return Ok(true),
                Some(_) => {}
                None => still = Some((Instant::now(), revision)),
            },
            Err(reason) => (still, why) = (None, reason),
        }
        sleep(LOOK).await;
    }
    eprintln!("the cluster does not come to rest: {why}");
    Ok(false)
}

/// The revision at which all is as wanted, or what is not.
async fn as_wanted(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<Result<u64, String>> {
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
        return Ok(Err(format!("{} agents are known", agents.len())));
    }
    let mut client = ServicesClient::new(cluster.connect(0)?);
    let units = match bounded(client.list_units(timed(v1::ListUnitsRequest::default()))).await {
        Ok(units) => units.into_inner().units,
        Err(status) => return Ok(Err(status.to_string())),
    };
    if let Some(unit) = units.iter().find(|unit| unit.state != "ready") {
        return Ok(Err(format!("the unit {} is {}: {}", unit.unit, unit.state, unit.cause)));
    }
    let wanted: BTreeSet<_> = units.into_iter().map(|it| (it.unit, it.incarnation)).collect();
    let (_, table) = observe::table(cluster, recorder).unwrap_or_default();
    let running = table
        .iter()
        .map(|it| (format!("{}/{}/{}", it.service, it.region, it.slot), it.incarnation));
    let running: BTreeSet<_> = running.collect();
    if running != wanted {
        return Ok(Err(format!("{running:?} run, and wanted are {wanted:?}")));
    }
    Ok(Ok(revision))
}

/// Records the state of every agent, as each tells it.
async fn tell_states(cluster: &Cluster, recorder: &Recorder) -> anyhow::Result<()> {
    for member in 0..cluster.members.len() {
        let Ok(agents) = observe::states(cluster, member).await? else { continue };
        for agent in agents {
            observe::tell(recorder, agent);
        }
    }
    Ok(())
}
