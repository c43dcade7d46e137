//! Records external observations of a cluster until cancelled.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::events_client::EventsClient;
use meridian_testkit::history::{
    LoggedEvent, ObservedEvent, ObservedLeader, ObservedUnit, Processes, Record, Recorder,
    Snapshot, StateHash, Tally, Watch,
};
use meridian_testkit::process::Process;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::cluster::Cluster;
use super::operations::{with_deadline, with_timeout};

/// Poll interval for /proc.
const PROC_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum interval between recorded process tables.
const TABLE_INTERVAL: Duration = Duration::from_secs(1);
/// Poll interval for agents.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Time for which a member's report of the leader is valid.
const LEADER_TTL: Duration = Duration::from_millis(1_500);
/// Timeout of a watch: longer than two intervals of idle frames.
const WATCH_TIMEOUT: Duration = Duration::from_secs(12);
/// Interval of progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);
/// Log message of an agent that receives a snapshot.
const SNAPSHOT_MESSAGE: &str = "receiving a snapshot";

/// Watches a member from the first event on; a new watch continues after the last received event.
pub async fn watch(
    cluster: Arc<Cluster>,
    recorder: Recorder,
    member: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut next = 1;
    while !stop.is_cancelled() {
        let watched =
            stop.run_until_cancelled(follow(&cluster, &recorder, member, &mut next)).await;
        if let Some(Err(error)) = watched {
            return Err(error);
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

async fn follow(
    cluster: &Cluster,
    recorder: &Recorder,
    member: usize,
    next: &mut u64,
) -> anyhow::Result<()> {
    let request =
        v1::WatchRequest { from: *next, follow: true, consistency: v1::Consistency::Stale.into() };
    let mut client = EventsClient::new(cluster.connect(member)?);
    let Ok(response) = with_timeout(client.watch(with_deadline(request))).await else {
        return Ok(());
    };
    let stream = record_watch(cluster, recorder, member, *next);
    let mut frames = response.into_inner();
    while let Some(frame) = frame(&mut frames).await {
        record_events(recorder, stream, frame, next);
    }
    Ok(())
}

/// Reads the whole log of a member through a separate watch.
pub async fn read_log(cluster: &Cluster, recorder: &Recorder, member: usize) -> anyhow::Result<()> {
    let request =
        v1::WatchRequest { from: 1, follow: false, consistency: v1::Consistency::Stale.into() };
    let mut client = EventsClient::new(cluster.connect(member)?);
    let Ok(response) = with_timeout(client.watch(with_deadline(request))).await else {
        return Ok(());
    };
    let (stream, mut next) = (record_watch(cluster, recorder, member, 1), 1);
    let mut frames = response.into_inner();
    while let Some(frame) = frame(&mut frames).await {
        record_events(recorder, stream, frame, &mut next);
    }
    Ok(())
}

fn record_watch(cluster: &Cluster, recorder: &Recorder, member: usize, from: u64) -> u64 {
    let (at, stream) = (recorder.now(), recorder.number());
    let node = cluster.members[member].name();
    recorder.append(&Record::Watch(Watch { at, stream, node, from }));
    stream
}

/// Returns the next frame, or `None` if the watch ended or timed out.
async fn frame(frames: &mut Streaming<v1::WatchResponse>) -> Option<v1::WatchResponse> {
    timeout(WATCH_TIMEOUT, frames.message()).await.ok()?.ok()?
}

fn record_events(recorder: &Recorder, stream: u64, frame: v1::WatchResponse, next: &mut u64) {
    let at = recorder.now();
    for event in frame.events {
        let event = LoggedEvent::from(event);
        *next = event.revision + 1;
        recorder.append(&Record::Event(ObservedEvent { at, stream, event }));
    }
}

/// The leader according to each member, and the time of the report.
pub struct Leadership(Vec<Mutex<Option<(Instant, String)>>>);

impl Leadership {
    pub fn new(members: usize) -> Self {
        Self((0..members).map(|_| Mutex::new(None)).collect())
    }

    fn report(&self, member: usize, leader: String) {
        let mut reported = self.0[member].lock().expect("no thread panics while holding the lock");
        *reported = Some((Instant::now(), leader));
    }

    /// Returns the leader reported by a majority. A deposed leader that does not know it yet has no
    /// majority.
    fn majority(&self) -> Option<String> {
        let reported = self.0.iter().filter_map(|report| {
            let report = report.lock().expect("no thread panics while holding the lock").clone();
            report.filter(|(when, leader)| when.elapsed() < LEADER_TTL && !leader.is_empty())
        });
        let reported: Vec<String> = reported.map(|(_, leader)| leader).collect();
        let votes = |name: &String| reported.iter().filter(|other| *other == name).count();
        reported.iter().find(|name| votes(name) * 2 > self.0.len()).cloned()
    }
}

/// Polls a member for the leader.
pub async fn leaders(
    cluster: Arc<Cluster>,
    recorder: Recorder,
    leadership: Arc<Leadership>,
    member: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut client = ClusterClient::new(cluster.connect(member)?);
    while !stop.is_cancelled() {
        let members =
            with_timeout(client.list_members(with_deadline(v1::ListMembersRequest {}))).await;
        if let Ok(members) = members {
            let mut members = members.into_inner().members.into_iter();
            let leader = members.find(|it| it.role == "leader").map(|it| it.agent);
            leadership.report(member, leader.unwrap_or_default());
        }
        if let Some(leader) = leadership.majority().and_then(|name| cluster.find(&name))
            && cluster.set_leader(leader)
        {
            let (at, node) = (recorder.now(), cluster.members[leader].name());
            recorder.append(&Record::Leader(ObservedLeader { at, node }));
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Polls the members in turn for the positions of all agents.
pub async fn positions(
    cluster: Arc<Cluster>,
    recorder: Recorder,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    for member in (0..cluster.members.len()).cycle() {
        if stop.is_cancelled() {
            break;
        }
        for agent in states(&cluster, member).await?.unwrap_or_default() {
            record_state(&recorder, agent);
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Returns the positions of all agents according to a member.
pub async fn states(
    cluster: &Cluster,
    member: usize,
) -> anyhow::Result<Result<Vec<v1::AgentStatus>, String>> {
    let mut client = ClusterClient::new(cluster.connect(member)?);
    let status = with_timeout(client.get_status(with_deadline(v1::GetStatusRequest {}))).await;
    Ok(status.map(|it| it.into_inner().agents).map_err(|status| status.to_string()))
}

/// Records the position of an agent, if it is known.
pub fn record_state(recorder: &Recorder, agent: v1::AgentStatus) {
    let Some(revision) = agent.revision else { return };
    let (at, node, hash) = (recorder.now(), agent.name, agent.state_hash);
    let (applied, events) = (agent.applied, Some(agent.events_hash));
    recorder.append(&Record::State(StateHash { at, node, revision, hash, applied, events }));
}

/// Polls /proc. Blocks its thread.
pub fn processes(cluster: &Cluster, recorder: &Recorder, stop: &CancellationToken) {
    let mut recorded: Option<(Instant, Vec<ObservedUnit>)> = None;
    while !stop.is_cancelled() {
        if let Some((at, units)) = table(cluster, recorder) {
            let fresh = |(when, before): &(Instant, Vec<ObservedUnit>)| {
                *before == units && when.elapsed() < TABLE_INTERVAL
            };
            if !recorded.as_ref().is_some_and(fresh) {
                recorder.append(&Record::Processes(Processes { at, units: units.clone() }));
                recorded = Some((Instant::now(), units));
            }
        }
        std::thread::sleep(PROC_INTERVAL);
    }
}

/// Returns the units that were running at the same moment.
pub fn table(cluster: &Cluster, recorder: &Recorder) -> Option<(u64, Vec<ObservedUnit>)> {
    let mut processes = cluster.sandbox().processes().ok()?;
    // Drop processes that exited during the scan: they may not have been running at the same time
    // as the others.
    let at = recorder.now();
    processes.retain(|process| !process.has_ended());
    let mut units: Vec<_> = processes.iter().filter_map(observed_unit).collect();
    units.sort();
    Some((at, units))
}

fn observed_unit(process: &Process) -> Option<ObservedUnit> {
    let unit = process.unit()?;
    let slot = process.arguments().iter().skip_while(|word| *word != "--slot").nth(1)?;
    Some(ObservedUnit {
        service: unit.service,
        region: unit.region,
        slot: slot.parse().ok()?,
        incarnation: unit.incarnation,
        pid: unit.pid,
    })
}

/// Prints the progress of the run every minute.
pub async fn progress(recorder: Recorder, stop: CancellationToken) -> anyhow::Result<()> {
    while timeout(PROGRESS_INTERVAL, stop.cancelled()).await.is_err() {
        let Tally { acknowledged, faults, leaders, snapshots } = recorder.tally();
        eprintln!(
            "{:>8} s   {acknowledged} changes acknowledged, {faults} faults, {leaders} leaders, \
             {snapshots} snapshots",
            recorder.now() / 1_000_000
        );
    }
    Ok(())
}

/// Counts received snapshots in the logs of the agents.
pub async fn snapshots(
    cluster: Arc<Cluster>,
    recorder: Recorder,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut counted = vec![0; cluster.members.len()];
    loop {
        for (member, counted) in cluster.members.iter().zip(&mut counted) {
            let received = member.agent.log().matches(SNAPSHOT_MESSAGE).count();
            for _ in *counted..received {
                let (at, node) = (recorder.now(), member.name());
                recorder.append(&Record::Snapshot(Snapshot { at, node }));
            }
            *counted = received;
        }
        // The final scan happens after the cancellation.
        if stop.is_cancelled() {
            return Ok(());
        }
        let _ = timeout(TABLE_INTERVAL, stop.cancelled()).await;
    }
}
