//! Whether a fault was felt: what an injected one would leave without effect proves nothing.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::process::network::Network;
use tokio::time::{Instant, sleep};

use super::calls::{bounded, timed};
use super::cluster::Cluster;
use super::schedule::Kind;

/// How long an effect may take to show.
const SHOWS: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// None of them runs.
pub fn gone(cluster: &Cluster, members: &[usize]) -> anyhow::Result<Option<String>> {
    for member in members {
        if cluster.members[*member].agent.process()?.is_some() {
            return Ok(None);
        }
    }
    Ok(Some("no process of them is left".to_owned()))
}

/// A member that runs a unit: the first one asked for, if it does.
pub async fn with_unit(cluster: &Cluster, first: usize) -> anyhow::Result<usize> {
    let count = cluster.members.len();
    let runs = |member: &usize| cluster.units(*member).is_ok_and(|units| !units.is_empty());
    let found = shows(async || (first..first + count).map(|it| it % count).find(runs)).await;
    found.context("no agent runs any unit")
}

/// The process is stopped, by proc(5).
pub fn stopped(pid: u32) -> anyhow::Result<Option<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the agent runs")?;
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    Ok((state == Some('T')).then(|| format!("process {pid} is stopped")))
}

/// Waits until what a fault of the network is there to do was done.
pub async fn felt(network: &dyn Network, kind: Kind) -> Option<String> {
    shows(async || felt_now(network, kind)).await
}

fn felt_now(network: &dyn Network, kind: Kind) -> Option<String> {
    let felt = network.felt();
    // A stream loses nothing: what a cut or a loss met there had to wait.
    let (unit, lost) = match network.has_packets() {
        true => ("packets", "lost"),
        false => ("pieces of streams", "held back"),
    };
    let (count, what) = match kind {
        Kind::Delay => (felt.delayed, "delayed"),
        Kind::Duplicate => (felt.duplicated, "doubled"),
        Kind::Reorder => (felt.overtook, "sent before earlier ones"),
        _ => (felt.lost, lost),
    };
    (count > 0).then(|| format!("{count} {unit} were {what}"))
}

/// Has a member hand leadership over, to whomever it chooses, and waits for another leader.
pub async fn transferred(cluster: &Cluster, member: usize) -> anyhow::Result<Option<String>> {
    let before = cluster.leader();
    let mut client = ClusterClient::new(cluster.connect(member)?);
    // There may be no leader yet to hand it over, or nobody who is up to date.
    shows(async || {
        let request = timed(v1::TransferLeaderRequest::default());
        bounded(client.transfer_leader(request)).await.ok()
    })
    .await;
    let changed = async || cluster.leader().filter(|now| Some(*now) != before);
    let now = shows(changed).await;
    Ok(now.map(|now| format!("{} leads", cluster.members[now].name())))
}

/// Waits until that many members vote, as some member says.
pub async fn voters(cluster: &Cluster, count: usize) -> anyhow::Result<Option<String>> {
    let counted = async || {
        let members = members(cluster).await?;
        let leads = members.iter().any(|it| it.role == "leader");
        let voters = members.iter().filter(|it| it.voter && !it.agent.is_empty()).count();
        (voters == count && leads).then_some(())
    };
    Ok(shows(counted).await.map(|()| format!("{count} members vote")))
}

/// The number of a member's node; empty where nobody tells it.
pub async fn node_of(cluster: &Cluster, member: usize) -> anyhow::Result<String> {
    let name = cluster.members[member].name();
    let node = async || {
        let members = members(cluster).await?.into_iter();
        members.map(|it| (it.agent, it.id)).find(|(agent, _)| *agent == name).map(|(_, id)| id)
    };
    Ok(shows(node).await.unwrap_or_default())
}

/// Waits until a member is known under another node than before.
pub async fn rejoined(
    cluster: &Cluster,
    member: usize,
    before: &str,
) -> anyhow::Result<Option<String>> {
    let name = cluster.members[member].name();
    let joined = async || {
        let members = members(cluster).await?.into_iter();
        members.map(|it| (it.agent, it.id)).find(|(agent, id)| *agent == name && id != before)
    };
    Ok(shows(joined).await.map(|(_, node)| format!("it is node {node}, and was {before}")))
}

/// The limits in force.
pub async fn limits(cluster: &Cluster) -> anyhow::Result<v1::Limits> {
    let asked = async || {
        for member in 0..cluster.members.len() {
            let mut client = ClusterClient::new(cluster.connect(member).ok()?);
            if let Ok(answer) = bounded(client.get_limits(timed(Default::default()))).await {
                return answer.into_inner().limits;
            }
        }
        None
    };
    shows(asked).await.context("no agent tells the limits")
}

/// The members, as the first one says that answers.
async fn members(cluster: &Cluster) -> Option<Vec<v1::Member>> {
    for member in 0..cluster.members.len() {
        let mut client = ClusterClient::new(cluster.connect(member).ok()?);
        if let Ok(answer) = bounded(client.list_members(timed(v1::ListMembersRequest {}))).await {
            return Some(answer.into_inner().members);
        }
    }
    None
}

/// The agent ended by itself.
pub async fn ended(cluster: &Cluster, member: usize) -> anyhow::Result<Option<()>> {
    let agent = &cluster.members[member].agent;
    soon(|| Ok(agent.process()?.is_none().then_some(()))).await
}

/// No other agent knows of a process that a killed one has started, as one of them says.
pub async fn unrecorded(
    cluster: &Cluster,
    member: usize,
    pid: u32,
) -> anyhow::Result<Option<String>> {
    let others = (0..cluster.members.len()).filter(|other| *other != member);
    let others: Vec<usize> = others.collect();
    let units = shows(async || {
        for other in &others {
            let mut client = ServicesClient::new(cluster.connect(*other).ok()?);
            let asked = client.list_units(timed(v1::ListUnitsRequest::default()));
            if let Ok(answer) = bounded(asked).await {
                return Some(answer.into_inner().units);
            }
        }
        None
    });
    let Some(units) = units.await else { return Ok(None) };
    let name = cluster.members[member].name();
    let known = units.iter().any(|it| it.agent == name && it.pid == Some(pid));
    Ok((!known).then(|| format!("process {pid} was started, and nobody was told")))
}

/// What shows within [`SHOWS`], looked for as often as can be.
pub async fn soon<T>(
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let began = Instant::now();
    while began.elapsed() < SHOWS {
        if let Some(shown) = look()? {
            return Ok(Some(shown));
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(None)
}

/// What shows within [`SHOWS`].
async fn shows<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    while began.elapsed() < SHOWS {
        if let Some(shown) = look().await {
            return Some(shown);
        }
        sleep(LOOK).await;
    }
    None
}
