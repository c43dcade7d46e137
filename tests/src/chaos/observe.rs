//! What is seen of a cluster from outside, recorded until told to stop.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::events_client::EventsClient;
use meridian_testkit::history::{
    Leads, LoggedEvent, Observed, Processes, Record, Recorder, Snapshot, StateHash, Tally,
    UnitSeen, Watch,
};
use meridian_testkit::process::Process;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::calls::{bounded, timed};
use super::cluster::Cluster;

/// Between two looks at /proc.
const SAMPLE: Duration = Duration::from_millis(100);
/// The table of processes is recorded at least so often.
const REPEAT: Duration = Duration::from_secs(1);
/// Between two questions for the leader.
const ASK: Duration = Duration::from_millis(200);
/// How long an answer about the leader counts.
const FRESH: Duration = Duration::from_millis(1_500);
/// Longer than two idle frames of a watch.
const SILENT: Duration = Duration::from_secs(12);
/// Between two reports of how far a run is.
const REPORT: Duration = Duration::from_secs(60);
/// What an agent logs when it is sent a snapshot.
const SNAPSHOT: &str = "receiving a snapshot";

/// Watches a member, from the first event on; after a break, behind the last one received.
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
        sleep(ASK).await;
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
    let Ok(answer) = bounded(client.watch(timed(request))).await else { return Ok(()) };
    let stream = begin(cluster, recorder, member, *next);
    let mut frames = answer.into_inner();
    while let Some(frame) = frame(&mut frames).await {
        deliver(recorder, stream, frame, next);
    }
    Ok(())
}

/// Reads the whole log of a member, as a watch of its own.
pub async fn read_log(cluster: &Cluster, recorder: &Recorder, member: usize) -> anyhow::Result<()> {
    let request =
        v1::WatchRequest { from: 1, follow: false, consistency: v1::Consistency::Stale.into() };
    let mut client = EventsClient::new(cluster.connect(member)?);
    let Ok(answer) = bounded(client.watch(timed(request))).await else { return Ok(()) };
    let (stream, mut next) = (begin(cluster, recorder, member, 1), 1);
    let mut frames = answer.into_inner();
    while let Some(frame) = frame(&mut frames).await {
        deliver(recorder, stream, frame, &mut next);
    }
    Ok(())
}

fn begin(cluster: &Cluster, recorder: &Recorder, member: usize, from: u64) -> u64 {
    let (at, stream) = (recorder.now(), recorder.number());
    let node = cluster.members[member].name();
    recorder.append(&Record::Watch(Watch { at, stream, node, from }));
    stream
}

/// The next frame; none where the watch broke or fell silent.
async fn frame(frames: &mut Streaming<v1::WatchResponse>) -> Option<v1::WatchResponse> {
    timeout(SILENT, frames.message()).await.ok()?.ok()?
}

fn deliver(recorder: &Recorder, stream: u64, frame: v1::WatchResponse, next: &mut u64) {
    let at = recorder.now();
    for event in frame.events {
        let event = LoggedEvent::from(event);
        *next = event.revision + 1;
        recorder.append(&Record::Event(Observed { at, stream, event }));
    }
}

/// Who leads, as each member says, and when it said so.
pub struct Leadership(Vec<Mutex<Option<(Instant, String)>>>);

impl Leadership {
    pub fn new(members: usize) -> Self {
        Self((0..members).map(|_| Mutex::new(None)).collect())
    }

    fn note(&self, member: usize, leader: String) {
        let mut said = self.0[member].lock().expect("nobody panics with this lock");
        *said = Some((Instant::now(), leader));
    }

    /// The leader that a majority names. One that was deposed and does not know it yet has none.
    fn agreed(&self) -> Option<String> {
        let said = self.0.iter().filter_map(|said| {
            let said = said.lock().expect("nobody panics with this lock").clone();
            said.filter(|(when, leader)| when.elapsed() < FRESH && !leader.is_empty())
        });
        let said: Vec<String> = said.map(|(_, leader)| leader).collect();
        let votes = |name: &String| said.iter().filter(|other| *other == name).count();
        said.iter().find(|name| votes(name) * 2 > self.0.len()).cloned()
    }
}

/// Asks a member who leads, again and again.
pub async fn leaders(
    cluster: Arc<Cluster>,
    recorder: Recorder,
    leadership: Arc<Leadership>,
    member: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut client = ClusterClient::new(cluster.connect(member)?);
    while !stop.is_cancelled() {
        let members = bounded(client.list_members(timed(v1::ListMembersRequest {}))).await;
        if let Ok(members) = members {
            let mut members = members.into_inner().members.into_iter();
            let leader = members.find(|it| it.role == "leader").map(|it| it.agent);
            leadership.note(member, leader.unwrap_or_default());
        }
        if let Some(leader) = leadership.agreed().and_then(|name| cluster.find(&name))
            && cluster.note_leader(leader)
        {
            let (at, node) = (recorder.now(), cluster.members[leader].name());
            recorder.append(&Record::Leader(Leads { at, node }));
        }
        sleep(ASK).await;
    }
    Ok(())
}

/// Asks one member after another how far all are, again and again.
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
            tell(&recorder, agent);
        }
        sleep(ASK).await;
    }
    Ok(())
}

/// How far all agents are, as a member says.
pub async fn states(
    cluster: &Cluster,
    member: usize,
) -> anyhow::Result<Result<Vec<v1::AgentStatus>, String>> {
    let mut client = ClusterClient::new(cluster.connect(member)?);
    let status = bounded(client.get_status(timed(v1::GetStatusRequest {}))).await;
    Ok(status.map(|it| it.into_inner().agents).map_err(|status| status.to_string()))
}

/// Records how far an agent is, if it told that.
pub fn tell(recorder: &Recorder, agent: v1::AgentStatus) {
    let Some(revision) = agent.revision else { return };
    let (at, node, hash) = (recorder.now(), agent.name, agent.state_hash);
    let (applied, events) = (agent.applied, Some(agent.events_hash));
    recorder.append(&Record::State(StateHash { at, node, revision, hash, applied, events }));
}

/// Samples /proc. Blocks its thread.
pub fn processes(cluster: &Cluster, recorder: &Recorder, stop: &CancellationToken) {
    let mut recorded: Option<(Instant, Vec<UnitSeen>)> = None;
    while !stop.is_cancelled() {
        if let Some((at, units)) = table(cluster, recorder) {
            let fresh = |(when, before): &(Instant, Vec<UnitSeen>)| {
                *before == units && when.elapsed() < REPEAT
            };
            if !recorded.as_ref().is_some_and(fresh) {
                recorder.append(&Record::Processes(Processes { at, units: units.clone() }));
                recorded = Some((Instant::now(), units));
            }
        }
        std::thread::sleep(SAMPLE);
    }
}

/// The units that all ran at one moment.
pub fn table(cluster: &Cluster, recorder: &Recorder) -> Option<(u64, Vec<UnitSeen>)> {
    let mut processes = cluster.sandbox().processes().ok()?;
    // One that ended while the others were looked for never ran beside them.
    let at = recorder.now();
    processes.retain(|process| !process.has_ended());
    let mut units: Vec<_> = processes.iter().filter_map(seen).collect();
    units.sort();
    Some((at, units))
}

fn seen(process: &Process) -> Option<UnitSeen> {
    let unit = process.unit()?;
    let slot = process.arguments().iter().skip_while(|word| *word != "--slot").nth(1)?;
    Some(UnitSeen {
        service: unit.service,
        region: unit.region,
        slot: slot.parse().ok()?,
        incarnation: unit.incarnation,
        pid: unit.pid,
    })
}

/// Says each minute how far the run is.
pub async fn progress(recorder: Recorder, stop: CancellationToken) -> anyhow::Result<()> {
    while timeout(REPORT, stop.cancelled()).await.is_err() {
        let Tally { acknowledged, faults, leaders, snapshots } = recorder.tally();
        eprintln!(
            "{:>8} s   {acknowledged} changes acknowledged, {faults} faults, {leaders} leaders, \
             {snapshots} snapshots",
            recorder.now() / 1_000_000
        );
    }
    Ok(())
}

/// Looks for snapshots in the logs of the agents.
pub async fn snapshots(
    cluster: Arc<Cluster>,
    recorder: Recorder,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut counted = vec![0; cluster.members.len()];
    loop {
        for (member, counted) in cluster.members.iter().zip(&mut counted) {
            let received = member.agent.log().matches(SNAPSHOT).count();
            for _ in *counted..received {
                let (at, node) = (recorder.now(), member.name());
                recorder.append(&Record::Snapshot(Snapshot { at, node }));
            }
            *counted = received;
        }
        // The last look comes after the end.
        if stop.is_cancelled() {
            return Ok(());
        }
        let _ = timeout(REPEAT, stop.cancelled()).await;
    }
}
