//! Agent processes, and commands to them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use meridian_testkit::process::{self, Agent, Dev, Process, Sandbox, port};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::dns::ResolvedName;

/// Regions of the agents, one each.
const REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// The service created by `meridian dev`, and its gateway port.
const SERVICE: &str = "contoso";
pub(super) const NAME: &str = "contoso.meridian.test";
pub(super) const GATEWAY: u16 = 8080;
/// Network of the clients that resolve the name.
const CLIENTS: &str = "10.1.0.0/16";
/// Timeout for the cluster to complete a change.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Three agents, each in its own region, with a service that has one unit in the first region.
pub(super) struct Cluster {
    agents: Vec<Agent>,
    endpoints: String,
    _dev: Dev,
    // Dropped last; kills all processes.
    sandbox: Sandbox,
}

impl Cluster {
    pub(super) async fn start() -> anyhow::Result<Self> {
        // Build before any timeout starts: it may take minutes.
        tokio::task::spawn_blocking(process::binary).await??;
        let sandbox = Sandbox::new().await?;
        let dev = Dev::start(&sandbox, &[]).await?;
        let agents: Vec<_> = (1..).zip(REGIONS).map(|(n, name)| sandbox.agent(n, name)).collect();
        let endpoints: Vec<_> = agents.iter().map(Agent::endpoint).collect();
        Ok(Self { agents, endpoints: endpoints.join(","), _dev: dev, sandbox })
    }

    /// Returns the address of the service's gateway in a region.
    pub(super) fn gateway(&self, region: usize) -> SocketAddr {
        SocketAddr::new(self.agents[region].address(), GATEWAY)
    }

    /// Runs a CLI command on any agent that responds, and returns its output.
    pub(super) async fn command(&self, command: &str) -> anyhow::Result<Value> {
        let global = ["--yes", "--output", "json", "--endpoint", &self.endpoints];
        let words = command.split_whitespace().chain(global);
        let output = process::run(words).await.and_then(process::Output::success);
        output.and_then(|output| output.json()).with_context(|| format!("meridian {command}"))
    }

    /// Scales a region, and waits until exactly `units` units are ready.
    pub(super) async fn scale(&self, region: usize, units: usize) -> anyhow::Result<()> {
        let name = REGIONS[region];
        self.command(&format!("region set {name}={units}")).await?;
        self.wait_for_units(region, units, &BTreeSet::new()).await.map(drop)
    }

    /// Replaces the units of a region, and waits until none of the old ones is left.
    pub(super) async fn roll(&self, region: usize) -> anyhow::Result<()> {
        let old = self.units(region).await?.context("some unit is not ready")?;
        self.command(&format!("unit roll {SERVICE} --region {}", REGIONS[region])).await?;
        self.wait_for_units(region, old.len(), &old).await.map(drop)
    }

    /// Publishes an API, or replaces the one with this name.
    pub(super) async fn publish(
        &self,
        name: &str,
        path: &str,
        backend: SocketAddr,
    ) -> anyhow::Result<()> {
        let publish = format!("api publish {name} --path {path} --backend http://{backend}");
        self.command(&publish).await.map(drop)
    }

    /// Kills one unit of a region, and waits for its replacement.
    pub(super) async fn kill_unit(&self, region: usize) -> anyhow::Result<()> {
        let old = self.units(region).await?.context("some unit is not ready")?;
        let mut processes = self.sandbox.processes()?.into_iter();
        let victim = processes.find(|process| old.contains(&process.pid()));
        let victim = victim.context("none of the listed units is running")?;
        victim.kill()?;
        self.wait_for_units(region, old.len(), &[victim.pid()].into()).await.map(drop)
    }

    /// Returns the service's name as clients near a region resolve it.
    pub(super) async fn resolve(&self, near: usize) -> anyhow::Result<ResolvedName> {
        self.command(&format!("network set {CLIENTS}={}", REGIONS[near])).await?;
        let mut agents: Vec<_> = self.agents.iter().collect();
        agents.swap(0, near);
        let servers = agents.iter().map(|agent| SocketAddr::new(agent.address(), port::DNS));
        ResolvedName::new(servers.collect(), NAME).await
    }

    /// Changes the gateways of a region by `meridian region COMMAND`, and waits until that is complete.
    pub(super) async fn change(&self, command: &str, region: usize) -> anyhow::Result<()> {
        self.command(&format!("region {command} {} --wait", REGIONS[region])).await.map(drop)
    }

    /// Kills the agent and all units of a region.
    pub(super) fn kill_region(&self, region: usize) -> anyhow::Result<()> {
        let agent = &self.agents[region];
        agent.kill()?;
        Process::all_within(agent.home())?.iter().try_for_each(Process::kill)
    }

    /// Starts the agent of a killed region, and waits until exactly `units` units are ready.
    pub(super) async fn start_region(&self, region: usize, units: usize) -> anyhow::Result<()> {
        self.agents[region].start()?;
        self.wait_for_units(region, units, &BTreeSet::new()).await.map(drop)
    }

    /// Kills an agent; its units keep running.
    pub(super) fn kill_agent(&self, region: usize) -> anyhow::Result<()> {
        self.agents[region].kill()
    }

    /// Restarts a killed agent, and waits until it reports all its units ready.
    pub(super) async fn start_agent(&self, region: usize) -> anyhow::Result<()> {
        let agent = &self.agents[region];
        let before = agent.units()?.len();
        agent.start()?;
        wait(&format!("the agent in {} to recover", REGIONS[region]), async || {
            agent.json(&["status"]).await?;
            let ready = self.units(region).await?.context("some unit is not ready")?;
            ensure!(ready.len() == before, "{} of {before} units are ready", ready.len());
            Ok(())
        })
        .await
    }

    /// Waits until a region has exactly `units` units, all ready and none of them in `old`.
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
            ensure!(found.len() == units && left == 0, "{} units, {left} of them old", found.len());
            Ok(found)
        })
        .await
    }

    /// Returns the process ids of a region's units, or `None` while a unit is not ready. A
    /// restarted unit keeps its slot and incarnation but has another process id.
    async fn units(&self, region: usize) -> anyhow::Result<Option<BTreeSet<u32>>> {
        let rows = self.command("unit list").await?;
        let rows = rows.as_array().context("the unit list is not an array")?.iter();
        let rows = rows.filter(|row| row["region"] == REGIONS[region]);
        let ready = rows.map(|row| row["pid"].as_u64().filter(|_| row["state"] == "ready"));
        Ok(ready.map(|pid| pid?.try_into().ok()).collect())
    }
}

/// Retries an attempt until it succeeds.
pub(super) async fn wait<T>(
    what: &str,
    attempt: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(error.context(format!("timed out after {TIMEOUT:?} waiting for {what}")));
        }
        sleep(POLL).await;
    }
}
