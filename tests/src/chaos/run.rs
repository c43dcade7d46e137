//! One run, from the founding to the verdict.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meridian_testkit::check::{Verdict, check};
use meridian_testkit::history::{self, Header, Record, Recorder, mark};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::clients;
use super::cluster::Cluster;
use super::faults::Injector;
use super::heal;
use super::observe::{self, Leadership};
use super::options::RunOptions;
use super::schedule::Schedule;

/// Fewer acknowledged changes in a second of load make a run worthless. Clients here are slow on
/// purpose, and a part of the time there is no quorum.
const LEAST_PER_SECOND: f64 = 3.0;

/// Runs a schedule, and writes it, the history, and the agents' logs to `out`.
///
/// # Errors
/// If the cluster cannot be founded, or a fault not be injected.
pub async fn run(schedule: &Schedule, options: &RunOptions, out: &Path) -> anyhow::Result<Verdict> {
    let text = serde_json::to_string_pretty(schedule)?;
    fs::write(out.join("schedule.json"), text).context("the schedule cannot be kept")?;
    let path = out.join("history.jsonl");
    let recorder = Recorder::create(&path)?;
    let cluster = Arc::new(Cluster::start(schedule.agents, schedule.seed).await?);
    let ended = live(schedule, options, &cluster, &recorder).await;
    for member in &cluster.members {
        let log = out.join(format!("{}.log", member.name()));
        fs::write(log, member.agent.log()).context("the logs cannot be kept")?;
    }
    drop(cluster);
    recorder.finish()?;
    ended.with_context(|| format!("what was seen is in {}", out.display()))?;
    let verdict = check(&history::read(&path)?);
    fs::write(out.join("verdict.json"), serde_json::to_string_pretty(&verdict)?)?;
    println!("history: {}", path.display());
    Ok(verdict)
}

async fn live(
    schedule: &Schedule,
    options: &RunOptions,
    cluster: &Arc<Cluster>,
    recorder: &Recorder,
) -> anyhow::Result<()> {
    recorder.append(&Record::Header(Header {
        seed: schedule.seed,
        nodes: cluster.nodes(),
        least_changes_per_second: LEAST_PER_SECOND,
        converge_within_seconds: heal::BOUND.as_secs(),
        calm_seconds: options.calm,
    }));
    let observers = Observers::start(cluster, recorder, options.soak);
    clients::prepare(cluster, recorder).await.context("the cluster is not founded")?;

    recorder.mark(mark::LOAD);
    let began = Instant::now();
    let stop = CancellationToken::new();
    let mut load = JoinSet::new();
    for number in 0..options.clients {
        let (cluster, recorder, stop) = (cluster.clone(), recorder.clone(), stop.clone());
        load.spawn(clients::run(number, schedule.seed, cluster, recorder, stop));
    }
    let injected = Injector::new(cluster, recorder).run(schedule, options.soak).await;
    if injected.is_ok() {
        sleep_until(began + Duration::from_secs(schedule.load_seconds)).await;
    }
    recorder.mark(mark::LOAD_ENDED);
    heal::mend(cluster)?;
    stop.cancel();
    while let Some(ended) = load.join_next().await {
        ended.context("a client ended early")??;
    }
    injected?;

    recorder.mark(mark::HEALED);
    eprintln!("healed");
    heal::converge(cluster, recorder, Duration::from_secs(options.calm)).await?;
    observers.stop().await?;
    for member in 0..cluster.members.len() {
        observe::read_log(cluster, recorder, member).await?;
    }
    Ok(())
}

/// What watches the cluster. It ends when it is dropped, too.
struct Observers {
    stop: DropGuard,
    tasks: JoinSet<anyhow::Result<()>>,
    processes: JoinHandle<()>,
}

impl Observers {
    fn start(cluster: &Arc<Cluster>, recorder: &Recorder, soak: bool) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let leadership = Arc::new(Leadership::new(cluster.members.len()));
        for member in 0..cluster.members.len() {
            let watched = (cluster.clone(), recorder.clone(), stop.clone());
            tasks.spawn(observe::watch(watched.0, watched.1, member, watched.2));
            let asked = (cluster.clone(), recorder.clone(), leadership.clone(), stop.clone());
            tasks.spawn(observe::leaders(asked.0, asked.1, asked.2, member, asked.3));
        }
        tasks.spawn(observe::snapshots(cluster.clone(), recorder.clone(), stop.clone()));
        if soak {
            tasks.spawn(observe::progress(recorder.clone(), stop.clone()));
        }
        tasks.spawn(observe::positions(cluster.clone(), recorder.clone(), stop.clone()));
        let (cluster, recorder, ends) = (cluster.clone(), recorder.clone(), stop.clone());
        let processes =
            tokio::task::spawn_blocking(move || observe::processes(&cluster, &recorder, &ends));
        Self { stop: stop.drop_guard(), tasks, processes }
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.disarm().cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("an observer ended early")??;
        }
        self.processes.await.context("/proc was watched to the end")
    }
}
