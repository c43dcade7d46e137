//! Loss and return of a region, as its clients see it. `src/bin/region-loss.rs` defines the columns.

mod client;

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use meridian_testkit::process::{Agent, Dev, Process, Sandbox, port};
use meridian_testkit::wait::until_ok;
use tokio::time::{Instant, sleep};

use crate::dns;
use client::Client;

const REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
const NAME: &str = "contoso.meridian.test";
const GATEWAY_PORT: u16 = 8080;
/// Interval between requests of the client, and between queries of the observer.
const INTERVAL: Duration = Duration::from_millis(20);
/// Time without a failed request after which the clients have moved.
const CALM: Duration = Duration::from_secs(8);

/// Measures how clients move when a region is killed and returns
#[derive(Debug, Clone, Parser)]
#[command(name = "region-loss")]
pub struct Options {
    /// Number of runs with the leader inside, and with the leader outside of the region
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// Network profile of the agents
    #[arg(long, value_enum, default_value_t = Profile::Lan)]
    pub network: Profile,
}

/// A network profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// That of `meridian dev`.
    Lan,
    /// That of agents by default, with longer windows and election timeouts.
    Wan,
}

impl Profile {
    /// Returns the time for probes to settle before the kill: three windows.
    fn settling(self) -> Duration {
        match self {
            Self::Lan => Duration::from_secs(6),
            Self::Wan => Duration::from_secs(15),
        }
    }
}

/// Times of one run.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// From the kill to the first response of a surviving name server without the region.
    renamed: Duration,
    /// From the kill to the end of the last failed request.
    last_failure: Duration,
    /// From the restart of the agent to the first request that the region serves again.
    returned: Duration,
    /// Failed requests, and queries without a response.
    failed: u64,
    unanswered: u64,
}

/// Times of all runs.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(&'static str, Vec<Run>)>,
}

/// Runs the measurement, with a new cluster for each run: a region that is lost again within an hour
/// returns later.
///
/// # Errors
/// If a cluster cannot be started, or clients do not move or return.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for leader in ["inside", "outside"] {
        let mut runs = Vec::new();
        for number in 0..options.runs {
            let run = one(options.network, leader == "inside")
                .await
                .with_context(|| format!("run {number}"))?;
            eprintln!("leader {leader}, run {number}: {run:?}");
            runs.push(run);
        }
        report.rows.push((leader, runs));
    }
    Ok(report)
}

async fn one(network: Profile, leader_inside: bool) -> anyhow::Result<Run> {
    let sandbox = Sandbox::new().await?;
    let _dev = Dev::start(&sandbox, &[]).await?;
    let agents: Vec<Agent> =
        (1..).zip(REGIONS).map(|(number, name)| sandbox.agent(number, name)).collect();
    if network == Profile::Wan {
        for agent in &agents {
            set_wan(agent).await?;
        }
    }
    let [other, lost, _] = agents.as_slice() else { unreachable!("there are three regions") };
    other.json(&["region", "set", "eastus=1", "southeastasia=1", "--wait"]).await?;
    other.json(&["network", "set", "10.1.0.0/16=eastus"]).await?;
    let leader = if leader_inside { lost } else { other };
    until_ok("the leader", async || {
        other.json(&["cluster", "transfer-leader", &leader.name]).await?;
        ensure!(other.json(&["status"]).await?["leader"] == leader.name.as_str());
        Ok(())
    })
    .await;
    let server = |agent: &Agent| SocketAddr::new(agent.address(), port::DNS);
    let servers = [lost, other, &agents[2]].map(server).to_vec();
    let (name, port) = (NAME.to_owned(), GATEWAY_PORT);
    let mut client = Client { servers, name, port, unanswered: 0, known: None };
    let settled = Instant::now() + network.settling();
    while Instant::now() < settled {
        let served = client.request().await?;
        ensure!(served == lost.address(), "the client is not served by its region");
        sleep(INTERVAL).await;
    }
    measure(&mut client, lost, server(other)).await
}

/// Restarts an agent of `meridian dev` with the profile `wan`.
async fn set_wan(agent: &Agent) -> anyhow::Result<()> {
    let text = fs::read_to_string(agent.config())?;
    let changed = text.replace(r#"network = "lan""#, r#"network = "wan""#);
    ensure!(changed != text, "{} has no profile", agent.config().display());
    fs::write(agent.config(), changed)?;
    agent.kill()?;
    agent.start()?;
    until_ok("the restarted agent", async || agent.json(&["status"]).await).await;
    Ok(())
}

/// Kills the region, waits until its client is served elsewhere, and starts it again.
async fn measure(client: &mut Client, lost: &Agent, surviving: SocketAddr) -> anyhow::Result<Run> {
    let killed = Instant::now();
    lost.kill()?;
    for process in Process::all_within(lost.home())? {
        process.kill()?;
    }
    client.unanswered = 0;
    let address = lost.address();
    let observer = tokio::spawn(async move {
        loop {
            let response = dns::query(surviving, NAME).await;
            if response.is_ok_and(|it| !it.addresses.iter().any(|it| *it == address)) {
                return killed.elapsed();
            }
            sleep(INTERVAL).await;
        }
    });
    let (mut last_failure, mut failed) = (Duration::ZERO, 0);
    while killed.elapsed() < last_failure + CALM {
        if client.request().await.is_err() {
            (last_failure, failed) = (killed.elapsed(), failed + 1);
        }
        ensure!(killed.elapsed() < Duration::from_secs(60), "the client did not move");
        sleep(INTERVAL).await;
    }
    let (renamed, unanswered) = (observer.await?, client.unanswered);
    let restarted = Instant::now();
    lost.start()?;
    while client.request().await? != lost.address() {
        ensure!(restarted.elapsed() < Duration::from_secs(60), "the client did not return");
        sleep(INTERVAL).await;
    }
    let returned = restarted.elapsed();
    // It stays: the region returned once.
    while restarted.elapsed() < returned + CALM {
        ensure!(client.request().await? == lost.address(), "the client left again");
        sleep(INTERVAL).await;
    }
    Ok(Run { renamed, last_failure, returned, failed, unanswered })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "leader    time from the event to            median    worst")?;
        for (leader, runs) in &self.rows {
            let mut row = |what: &str, of: fn(&Run) -> Duration| {
                let mut times: Vec<_> = runs.iter().map(of).collect();
                times.sort();
                let [median, worst] = [times.get(times.len() / 2), times.last()]
                    .map(|time| time.map_or(0.0, Duration::as_secs_f64));
                writeln!(f, "{leader:<8}  {what:<34}  {median:>5.2} s  {worst:>5.2} s")
            };
            row("first response without the region", |run| run.renamed)?;
            row("last failed request", |run| run.last_failure)?;
            row("first request after the return", |run| run.returned)?;
            let total = |of: fn(&Run) -> u64| runs.iter().map(of).sum::<u64>();
            let (failed, unanswered) = (total(|run| run.failed), total(|run| run.unanswered));
            writeln!(f, "{leader:<8}  {failed} requests failed, {unanswered} queries unanswered")?;
        }
        Ok(())
    }
}
