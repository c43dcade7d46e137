//! Agents as processes, and what is asked of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use meridian_testkit::process::{self, Agent, Dev, Sandbox};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Where the agents are, each alone.
const REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// The service that `meridian dev` creates, and its port.
const SERVICE: &str = "contoso";
const GATEWAY: u16 = 8080;
/// How long anything may take that the cluster is told.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Three agents, each in a region of its own, with a service that has a unit in the first.
pub(super) struct Cluster {
    agents: Vec<Agent>,
    endpoints: String,
    _dev: Dev,
    // The last to go, and everything with it.
    sandbox: Sandbox,
}

impl Cluster {
    pub(super) async fn start() -> anyhow::Result<Self> {
        // Before any clock runs: it may take minutes.
        tokio::task::spawn_blocking(process::binary).await??;
        let sandbox = Sandbox::new().await?;
        let dev = Dev::start(&sandbox, &[]).await?;
        let agents: Vec<_> = (1..).zip(REGIONS).map(|(n, name)| sandbox.agent(n, name)).collect();
        let endpoints: Vec<_> = agents.iter().map(Agent::endpoint).collect();
        Ok(Self { agents, endpoints: endpoints.join(","), _dev: dev, sandbox })
    }

    /// Where the service's gateway in a region is, by the region's number.
    pub(super) fn gateway(&self, region: usize) -> SocketAddr {
        SocketAddr::new(self.agents[region].address(), GATEWAY)
    }

    /// Runs a command of the binary at whichever agent answers, and gives its data.
    pub(super) async fn command(&self, command: &str) -> anyhow::Result<Value> {
        let global = ["--yes", "--output", "json", "--endpoint", &self.endpoints];
        let words = command.split_whitespace().chain(global);
        let output = process::run(words).await.and_then(process::Output::done);
        output.and_then(|output| output.json()).with_context(|| format!("meridian {command}"))
    }

    /// Gives a region so many units, and returns once that many are ready and no others are left.
    pub(super) async fn scale(&self, region: usize, units: usize) -> anyhow::Result<()> {
        let name = REGIONS[region];
        self.command(&format!("region set {name}={units}")).await?;
        self.wait_for_units(region, units, &BTreeSet::new()).await.map(drop)
    }

    /// Replaces the units of a region, and returns once none of the old ones is left.
    pub(super) async fn roll(&self, region: usize) -> anyhow::Result<()> {
        let old = self.units(region).await?.context("some unit is not ready")?;
        self.command(&format!("unit roll {SERVICE} --region {}", REGIONS[region])).await?;
        self.wait_for_units(region, old.len(), &old).await.map(drop)
    }

    /// Publishes an API, or replaces the one of that name.
    pub(super) async fn publish(
        &self,
        name: &str,
        path: &str,
        backend: SocketAddr,
    ) -> anyhow::Result<()> {
        let publish = format!("api publish {name} --path {path} --backend http://{backend}");
        self.command(&publish).await.map(drop)
    }

    /// Kills one unit of a region, and returns once there is another in its place.
    pub(super) async fn kill_unit(&self, region: usize) -> anyhow::Result<()> {
        let old = self.units(region).await?.context("some unit is not ready")?;
        let mut processes = self.sandbox.processes()?.into_iter();
        let victim = processes.find(|process| old.contains(&process.pid()));
        let victim = victim.context("no unit that is listed runs")?;
        victim.kill()?;
        self.wait_for_units(region, old.len(), &[victim.pid()].into()).await.map(drop)
    }

    /// Kills an agent; its units go on.
    pub(super) fn kill_agent(&self, region: usize) -> anyhow::Result<()> {
        self.agents[region].kill()
    }

    /// Starts an agent that was killed, and returns once it knows its units again.
    pub(super) async fn start_agent(&self, region: usize) -> anyhow::Result<()> {
        let agent = &self.agents[region];
        let before = agent.units()?.len();
        agent.start()?;
        wait(&format!("the agent in {} to be back", REGIONS[region]), async || {
            agent.json(&["status"]).await?;
            let ready = self.units(region).await?.context("some unit is not ready")?;
            ensure!(ready.len() == before, "{} of {before} units are ready", ready.len());
            Ok(())
        })
        .await
    }

    /// Waits until a region has that many units, all ready, and none of the `old` ones.
    async fn wait_for_units(
        &self,
        region: usize,
        units: usize,
        old: &BTreeSet<u32>,
    ) -> anyhow::Result<BTreeSet<u32>> {
        let what = format!("{units} units in {}", REGIONS[region]);
        wait(&what, async || {
            let found = self.units(region).await?.context("some unit is not ready")?;
            let left = found.intersection(old).count();
            ensure!(found.len() == units && left == 0, "{} are there, {left} old", found.len());
            Ok(found)
        })
        .await
    }

    /// The processes of a region's units; nothing while one of them is not ready. A unit that died
    /// has its number and its assignment again when it is back, and another process.
    async fn units(&self, region: usize) -> anyhow::Result<Option<BTreeSet<u32>>> {
        let rows = self.command("unit list").await?;
        let rows = rows.as_array().context("units are rows")?.iter();
        let rows = rows.filter(|row| row["region"] == REGIONS[region]);
        let ready = rows.map(|row| row["pid"].as_u64().filter(|_| row["state"] == "ready"));
        Ok(ready.map(|pid| pid?.try_into().ok()).collect())
    }
}

/// Returns what an attempt gives, once it succeeds.
pub(super) async fn wait<T>(
    what: &str,
    attempt: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(error.context(format!("waited {PATIENCE:?} for {what}")));
        }
        sleep(POLL).await;
    }
}
