//! Verifies that faults had an effect: a fault without effect proves nothing.

use std::fs;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::process::Process;
use meridian_testkit::process::network::Network;
use tokio::time::{Instant, sleep};

use super::clients::RUNNING_SERVICE;
use super::cluster::Cluster;
use super::observe;
use super::operations::{with_deadline, with_timeout};
use super::schedule::Kind;

/// Timeout for an effect to become observable.
pub const EFFECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Poll interval.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Checks that none of the members is running.
pub fn not_running(cluster: &Cluster, members: &[usize]) -> anyhow::Result<Option<String>> {
    for member in members {
        if cluster.members[*member].agent.process()?.is_some() {
            return Ok(None);
        }
    }
    Ok(Some("none of the processes is running".to_owned()))
}

/// Returns a member that runs a unit, preferably `first`.
pub async fn member_with_unit(cluster: &Cluster, first: usize) -> anyhow::Result<usize> {
    let count = cluster.members.len();
    let has_unit =
        |member: &usize| cluster.serving_units(*member).is_ok_and(|units| !units.is_empty());
    let found = poll(async || (first..first + count).map(|it| it % count).find(has_unit)).await;
    found.context("no agent runs a unit")
}

/// Checks that the process is stopped, according to proc(5).
pub fn stopped(pid: u32) -> anyhow::Result<Option<String>> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).context("the agent is not running")?;
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    Ok((state == Some('T')).then(|| format!("process {pid} is stopped")))
}

/// Waits until a network fault had its intended effect.
pub async fn network_effect(network: &dyn Network, kind: Kind) -> Option<String> {
    poll(async || current_network_effect(network, kind)).await
}

fn current_network_effect(network: &dyn Network, kind: Kind) -> Option<String> {
    let counters = network.counters();
    // TCP streams lose nothing: a cut or loss delays them.
    let (unit, lost) = match network.has_packets() {
        true => ("packets", "lost"),
        false => ("stream chunks", "held back"),
    };
    let (count, what) = match kind {
        Kind::Delay | Kind::LongLinks => (counters.delayed, "delayed"),
        Kind::Duplicate => (counters.duplicated, "duplicated"),
        Kind::Reorder => (counters.reordered, "reordered"),
        _ => (counters.lost, lost),
    };
    (count > 0).then(|| format!("{count} {unit} {what}"))
}

/// Waits until other members are connected to each agent at its new peer address.
pub async fn reached(cluster: &Cluster, moved: &[(usize, SocketAddrV4)]) -> Option<String> {
    let connected = |(member, address): &(usize, SocketAddrV4)| {
        let others = (0..cluster.members.len()).filter(|other| other != member);
        let mut others = others.filter_map(|it| cluster.members[it].agent.process().ok()?);
        others.any(|other| other.sees_connection_to(*address).unwrap_or(false))
    };
    poll(async || moved.iter().all(connected).then_some(())).await?;
    let addresses: Vec<_> = moved.iter().map(|(_, address)| address.to_string()).collect();
    Some(format!("other agents are connected to {}", addresses.join(" and ")))
}

/// Waits until all members have applied the entry that the last of them had applied at the start, and
/// returns its index; `None` on a timeout.
pub async fn caught_up(cluster: &Cluster) -> anyhow::Result<Option<u64>> {
    let applied = async || {
        let agents = observe::states(cluster, cluster.leader()?).await.ok()?.ok()?;
        let applied: Option<Vec<u64>> = agents.into_iter().map(|it| it.applied).collect();
        applied.filter(|it| it.len() == cluster.members.len())
    };
    let Some(index) = poll(async || applied().await?.into_iter().max()).await else {
        return Ok(None);
    };
    Ok(poll(async || (applied().await?.into_iter().min()? >= index).then_some(index)).await)
}

/// Waits until a member has applied an entry that it has lost.
pub async fn applied(
    cluster: &Cluster,
    member: usize,
    index: u64,
) -> anyhow::Result<Option<String>> {
    let name = cluster.members[member].name();
    let applied = async || {
        let agents = observe::states(cluster, member).await.ok()?.ok()?;
        agents.into_iter().find(|it| it.name == name)?.applied.filter(|applied| *applied >= index)
    };
    let applied = poll(applied).await;
    Ok(applied.map(|_| format!("{name} received the entries up to {index} again")))
}

/// Waits until a member other than this one leads.
pub async fn other_leader(cluster: &Cluster, member: usize) -> Option<usize> {
    poll(async || cluster.leader().filter(|leader| *leader != member)).await
}

/// Requests a leadership transfer to any member, until another one leads than before.
pub async fn transferred(cluster: &Cluster, member: usize) -> anyhow::Result<Option<String>> {
    let mut client = ClusterClient::new(cluster.connect(member)?);
    // May fail at first: there may be no leader, or no other member that is up to date. The member
    // itself is asked who leads, because the observed leader is older than the last fault.
    let now = poll(async || {
        let request = with_deadline(v1::GetStatusRequest {});
        let before = with_timeout(client.get_status(request)).await.ok()?.into_inner().leader;
        let request = with_deadline(v1::TransferLeaderRequest::default());
        let now = with_timeout(client.transfer_leader(request)).await.ok()?.into_inner().agent;
        (now != before).then_some(now)
    })
    .await;
    Ok(now.map(|now| format!("{now} is the leader")))
}

/// Waits until a member reports `count` voters and a leader.
pub async fn voters(cluster: &Cluster, count: usize) -> anyhow::Result<Option<String>> {
    let counted = async || {
        let members = members(cluster).await?;
        let leads = members.iter().any(|it| it.role == "leader");
        let voters = members.iter().filter(|it| it.voter && !it.agent.is_empty()).count();
        (voters == count && leads).then_some(())
    };
    Ok(poll(counted).await.map(|()| format!("the cluster has {count} voters")))
}

/// Waits until the log has the address of an agent, and returns it.
pub async fn announced(cluster: &Cluster, member: usize) -> anyhow::Result<Option<String>> {
    let agent = &cluster.members[member].agent;
    let address = agent.endpoint();
    let logged = async || {
        let members = members(cluster).await?.into_iter();
        let found = members.filter(|it| it.agent == agent.name).map(|it| it.address);
        found.into_iter().any(|logged| logged == address).then_some(())
    };
    Ok(poll(logged).await.map(|()| address.clone()))
}

/// Returns the node id of a member; empty if no agent reports it.
pub async fn node_id(cluster: &Cluster, member: usize) -> anyhow::Result<String> {
    let name = cluster.members[member].name();
    let node = async || {
        let members = members(cluster).await?.into_iter();
        members.map(|it| (it.agent, it.id)).find(|(agent, _)| *agent == name).map(|(_, id)| id)
    };
    Ok(poll(node).await.unwrap_or_default())
}

/// Waits until a member is known under a node id other than `before`.
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
    Ok(poll(joined).await.map(|(_, node)| format!("the node id changed from {before} to {node}")))
}

/// Returns the current limits.
pub async fn limits(cluster: &Cluster) -> anyhow::Result<v1::Limits> {
    let limits = async || {
        for member in 0..cluster.members.len() {
            let mut client = ClusterClient::new(cluster.connect(member).ok()?);
            if let Ok(response) =
                with_timeout(client.get_limits(with_deadline(Default::default()))).await
            {
                return response.into_inner().limits;
            }
        }
        None
    };
    poll(limits).await.context("no agent returned the limits")
}

/// Returns the members according to the first agent that responds.
async fn members(cluster: &Cluster) -> Option<Vec<v1::Member>> {
    for member in 0..cluster.members.len() {
        let mut client = ClusterClient::new(cluster.connect(member).ok()?);
        if let Ok(response) =
            with_timeout(client.list_members(with_deadline(v1::ListMembersRequest {}))).await
        {
            return Some(response.into_inner().members);
        }
    }
    None
}

/// Waits until the agent has exited on its own.
pub async fn exited(cluster: &Cluster, member: usize) -> anyhow::Result<Option<()>> {
    let agent = &cluster.members[member].agent;
    poll_fast(|| Ok(agent.process()?.is_none().then_some(()))).await
}

/// Checks with another agent that a process started by a killed agent is not in the replicated
/// state.
pub async fn unreported(
    cluster: &Cluster,
    member: usize,
    pid: u32,
) -> anyhow::Result<Option<String>> {
    let others = (0..cluster.members.len()).filter(|other| *other != member);
    let others: Vec<usize> = others.collect();
    let Some(units) = poll(async || units(cluster, &others).await).await else { return Ok(None) };
    let name = cluster.members[member].name();
    let known = units.iter().any(|it| it.agent == name && it.pid == Some(pid));
    Ok((!known).then(|| format!("process {pid} was started but not reported")))
}

/// Waits until the log has a hung unit as not ready, or not at all.
pub async fn reported(cluster: &Cluster, hung: &Process) -> Option<String> {
    let incarnation = hung.unit()?.incarnation;
    let all: Vec<usize> = (0..cluster.members.len()).collect();
    let state = poll(async || {
        let units = units(cluster, &all).await?;
        let state = units.into_iter().find(|it| it.incarnation == incarnation).map(|it| it.state);
        let state = state.unwrap_or_else(|| "replaced".to_owned());
        (state != "ready").then_some(state)
    });
    let pid = hung.pid();
    Some(format!("the unit of the stopped process {pid} is {}", state.await?))
}

/// Waits until the other members agree that clients cannot reach a member's region, unless it serves
/// no service anymore.
pub async fn offline(cluster: &Cluster, member: usize) -> Option<String> {
    let region = cluster.members[member].region;
    let began = Instant::now();
    let offline = async |other: usize| {
        let mut client = ServicesClient::new(cluster.connect(other).ok()?);
        let request = v1::ListLocationsRequest {
            service: RUNNING_SERVICE.to_owned(),
            ..v1::ListLocationsRequest::default()
        };
        let request = client.list_locations(with_deadline(request));
        let listed = with_timeout(request).await.ok()?.into_inner().locations.into_iter();
        let listed: Vec<_> = listed.filter(|it| it.region == region).collect();
        if listed.is_empty() {
            return Some("its region was removed meanwhile".to_owned());
        }
        let took = began.elapsed().as_millis();
        let is_offline = listed.iter().any(|it| it.status() == v1::LocationStatus::Offline);
        is_offline.then(|| format!("its region was offline after {took} ms"))
    };
    let others: Vec<_> = (0..cluster.members.len()).filter(|other| *other != member).collect();
    poll(async || {
        for other in &others {
            if let Some(evidence) = offline(*other).await {
                return Some(evidence);
            }
        }
        None
    })
    .await
}

/// Returns the units according to the first of these members that responds.
async fn units(cluster: &Cluster, members: &[usize]) -> Option<Vec<v1::Unit>> {
    for member in members {
        let mut client = ServicesClient::new(cluster.connect(*member).ok()?);
        let request = client.list_units(with_deadline(v1::ListUnitsRequest::default()));
        if let Ok(response) = with_timeout(request).await {
            return Some(response.into_inner().units);
        }
    }
    None
}

/// Polls `look` every millisecond, for at most [`EFFECT_TIMEOUT`].
pub async fn poll_fast<T>(
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let began = Instant::now();
    while began.elapsed() < EFFECT_TIMEOUT {
        if let Some(value) = look()? {
            return Ok(Some(value));
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(None)
}

/// Polls `look` every [`POLL_INTERVAL`], for at most [`EFFECT_TIMEOUT`].
async fn poll<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    while began.elapsed() < EFFECT_TIMEOUT {
        if let Some(value) = look().await {
            return Some(value);
        }
        sleep(POLL_INTERVAL).await;
    }
    None
}
