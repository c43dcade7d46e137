//! A complete run, from bootstrap to verdict.

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
use super::resources;
use super::schedule::Schedule;

/// Minimum rate of acknowledged changes for a valid run. It is low because the clients are slow on
/// purpose, and some faults break the quorum.
const MIN_CHANGES_PER_SECOND: f64 = 3.0;

/// Runs a schedule, and writes it, the history and the agents' logs to `out`.
///
/// # Errors
/// If the cluster cannot be bootstrapped or a fault cannot be injected.
pub async fn run(schedule: &Schedule, options: &RunOptions, out: &Path) -> anyhow::Result<Verdict> {
    let text = serde_json::to_string_pretty(schedule)?;
    fs::write(out.join("schedule.json"), text).context("cannot write the schedule")?;
    let path = out.join("history.jsonl");
    let recorder = Recorder::create(&path)?;
    let cluster = Arc::new(Cluster::start(schedule.agents, schedule.seed).await?);
    let result = execute(schedule, options, &cluster, &recorder).await;
    for member in &cluster.members {
        let log = out.join(format!("{}.log", member.name()));
        fs::write(log, member.agent.log()).context("cannot write the logs")?;
    }
    drop(cluster);
    recorder.finish()?;
    result.with_context(|| format!("the run failed; its records are in {}", out.display()))?;
    let verdict = check(&history::read(&path)?);
    fs::write(out.join("verdict.json"), serde_json::to_string_pretty(&verdict)?)?;
    println!("history: {}", path.display());
    Ok(verdict)
}

async fn execute(
    schedule: &Schedule,
    options: &RunOptions,
    cluster: &Arc<Cluster>,
    recorder: &Recorder,
) -> anyhow::Result<()> {
    recorder.append(&Record::Header(Header {
        seed: schedule.seed,
        nodes: cluster.nodes(),
        min_changes_per_second: MIN_CHANGES_PER_SECOND,
        converge_within_seconds: heal::CONVERGENCE_TIMEOUT.as_secs(),
        quiescent_seconds: options.quiescent,
    }));
    let observers = Observers::start(cluster, recorder, options.soak);
    clients::prepare(cluster, recorder).await.context("cannot create the services")?;
    heal::wait_until_at_rest(cluster, recorder).await?;
    resources::record(cluster, recorder).await?;

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
    heal::remove_faults(cluster)?;
    stop.cancel();
    while let Some(ended) = load.join_next().await {
        ended.context("a client task panicked")??;
    }
    injected?;

    recorder.mark(mark::HEALED);
    eprintln!("all faults removed");
    heal::converge(cluster, recorder, Duration::from_secs(options.quiescent)).await?;
    observers.stop().await?;
    for member in 0..cluster.members.len() {
        observe::read_log(cluster, recorder, member).await?;
    }
    Ok(())
}

/// Background tasks that observe the cluster. They stop when this is dropped.
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
            let args = (cluster.clone(), recorder.clone(), stop.clone());
            tasks.spawn(observe::watch(args.0, args.1, member, args.2));
            let args = (cluster.clone(), recorder.clone(), leadership.clone(), stop.clone());
            tasks.spawn(observe::leaders(args.0, args.1, args.2, member, args.3));
        }
        tasks.spawn(observe::snapshots(cluster.clone(), recorder.clone(), stop.clone()));
        if soak {
            tasks.spawn(observe::progress(recorder.clone(), stop.clone()));
        }
        tasks.spawn(observe::positions(cluster.clone(), recorder.clone(), stop.clone()));
        let (cluster, recorder, stopping) = (cluster.clone(), recorder.clone(), stop.clone());
        let processes =
            tokio::task::spawn_blocking(move || observe::processes(&cluster, &recorder, &stopping));
        Self { stop: stop.drop_guard(), tasks, processes }
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.disarm().cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("an observer task panicked")??;
        }
        self.processes.await.context("the /proc observer panicked")
    }
}
