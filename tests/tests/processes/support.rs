//! Helpers of these tests.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::process::{Agent, Dev, Process, Sandbox, UnitProcess};
use meridian_testkit::wait::until_ok;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

pub const REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// Gateway port of the first service.
pub const GATEWAY: u16 = 8080;
/// Path at which a unit reports its status.
pub const STATUS: &str = "/status-0123456789abcdef";

/// The cluster of `meridian dev`: three agents, one per region, and the service `contoso` in the
/// first region.
pub struct Three {
    pub dev: Dev,
    pub agents: Vec<Agent>,
    // Dropped last; kills all processes.
    pub sandbox: Sandbox,
}

impl Three {
    pub async fn start() -> Self {
        let sandbox = Sandbox::new().await.expect("a sandbox");
        let dev = Dev::start(&sandbox, &[]).await.expect("dev starts");
        let agents: Vec<_> = (1..).zip(REGIONS).map(|(n, name)| sandbox.agent(n, name)).collect();
        wait_until_converged(&agents).await;
        Self { dev, agents, sandbox }
    }

    /// Returns all agents but the given one.
    pub fn others(&self, agent: &Agent) -> Vec<Agent> {
        self.agents.iter().filter(|other| other.name != agent.name).cloned().collect()
    }

    pub fn agent(&self, name: &str) -> &Agent {
        self.agents.iter().find(|agent| agent.name == name).expect("one of the three agents")
    }

    /// Returns the leader.
    pub async fn leader(&self) -> Agent {
        self.agent(&leader(&self.agents[0]).await).clone()
    }

    /// Transfers leadership to the given agent.
    pub async fn make_leader(&self, agent: &Agent) {
        until_ok("the leadership transfer", async || {
            agent.json(&["cluster", "transfer-leader", &agent.name]).await?;
            ensure!(leader(agent).await == agent.name, "another agent is the leader");
            Ok(())
        })
        .await;
    }
}

/// Starts agents as one cluster, each in its region, with further lines of its configuration.
pub fn start_cluster(agents: &[Agent], regions: &[&str], lines: impl Fn(&Agent) -> String) {
    let peers: Vec<_> = agents.iter().map(|it| format!("\"{}\"", it.peer_endpoint())).collect();
    for (index, (agent, region)) in agents.iter().zip(regions).enumerate() {
        let settings = format!(
            "{}\nbootstrap_peers = [{}]\nbootstrap = {}\ninsecure = true",
            lines(agent),
            peers.join(", "),
            index == 0
        );
        agent.configure(region, &settings).expect("the configuration is written");
        agent.start().expect("the agent starts");
    }
}

/// Runs a command that succeeds once the cluster has bootstrapped.
pub async fn execute_soon(contacted: &Agent, command: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    until_ok("the cluster to bootstrap", async || contacted.json(&words).await).await;
}

/// Kills an agent and all of its units.
pub fn kill_region(agent: &Agent) {
    agent.kill().expect("the agent is killed");
    for process in Process::all_within(agent.home()).expect("/proc is readable") {
        process.kill().expect("the unit is killed");
    }
}

/// Waits for a leader, and returns its name.
pub async fn leader(contacted: &Agent) -> String {
    until_ok("a leader", async || {
        let status = contacted.json(&["status"]).await?;
        Ok(status["leader"].as_str().context("no leader")?.to_owned())
    })
    .await
}

/// Runs a command that must succeed, and returns its output.
pub async fn execute(contacted: &Agent, command: &str) -> Value {
    let words: Vec<_> = command.split_whitespace().collect();
    contacted
        .json(&words)
        .await
        .unwrap_or_else(|error| panic!("{}: {command}: {error:#}", contacted.name))
}

/// Returns the region's row of `region list`.
pub async fn location(contacted: &Agent, region: &str) -> Option<Value> {
    let rows = execute(contacted, "region list").await;
    rows.as_array().into_iter().flatten().find(|row| row["region"] == region).cloned()
}

/// Waits until the agents run the desired units and have the same state.
pub async fn wait_until_converged(agents: &[Agent]) {
    until_ok("units, processes and gateways to agree with the regions", async || {
        for contacted in agents {
            check_units(contacted, agents)
                .await
                .with_context(|| format!("according to {}", contacted.name))?;
        }
        same_state(&agents[0], agents).await?;
        Ok(())
    })
    .await;
}

/// Checks that the units in /proc, `unit list` and the status paths of the gateways match `region
/// list` on these agents.
async fn check_units(contacted: &Agent, agents: &[Agent]) -> anyhow::Result<()> {
    let regions = contacted.json(&["region", "list"]).await?;
    let units = contacted.json(&["unit", "list"]).await?;
    let units = units.as_array().context("not a list of units")?;
    let mut running = BTreeSet::new();
    for agent in agents {
        let own = agent.units()?;
        let port = serving_unit(agent).await;
        if own.is_empty() {
            ensure!(
                port.is_err(),
                "{} has no unit, but its gateway responds: {port:?}",
                agent.name
            );
        } else {
            let unit = port?;
            ensure!(own.contains(&unit), "{unit:?} responds on {}, which runs {own:?}", agent.name);
        }
        running.extend(own.into_iter().map(|unit| (agent.name.clone(), unit)));
    }
    let listed = units.iter().map(listed_unit).collect::<anyhow::Result<BTreeSet<_>>>()?;
    ensure!(running == listed, "running units {running:?}, listed {listed:?}");
    for region in regions.as_array().context("not a list of regions")? {
        let name = region["region"].as_str().context("the region has no name")?;
        let count = units.iter().filter(|unit| unit["region"] == name).count() as u64;
        let has_agent = region["status"] != "noAgent";
        let wanted = if has_agent { region["units"].as_u64().unwrap_or(0) } else { 0 };
        let ready = !has_agent || region["status"] == "ready";
        ensure!(
            ready && region["readyUnits"] == wanted && count == wanted,
            "{region}, but {count} units"
        );
    }
    Ok(())
}

/// Parses a row of `unit list`, which must be ready.
fn listed_unit(row: &Value) -> anyhow::Result<(String, UnitProcess)> {
    let text = |key: &str| Some(row[key].as_str()?.to_owned());
    let unit = || {
        let pid = row["pid"].as_u64().and_then(|pid| pid.try_into().ok())?;
        let incarnation = row["incarnation"].as_u64()?;
        let unit =
            UnitProcess { service: text("service")?, region: text("region")?, incarnation, pid };
        Some((text("agent")?, unit))
    };
    ensure!(row["state"] == "ready", "{row} is not ready");
    unit().with_context(|| format!("a field is missing in {row}"))
}

/// Returns the unit that responds at the status path of the agent's first gateway.
pub async fn serving_unit(agent: &Agent) -> anyhow::Result<UnitProcess> {
    let response = agent.gateway(GATEWAY, STATUS).await?;
    ensure!(response.status == 200, "{response:?}");
    let status = response.json()?;
    ensure!(status["agent"] == *agent.name, "{status} is not from {}", agent.name);
    let unit = || {
        Some(UnitProcess {
            service: status["service"].as_str()?.to_owned(),
            region: status["region"].as_str()?.to_owned(),
            incarnation: status["incarnation"].as_u64()?,
            pid: status["pid"].as_u64()?.try_into().ok()?,
        })
    };
    unit().with_context(|| format!("{status} has a missing field"))
}

/// Checks that all agents have the same revision and state hash, and returns both.
pub async fn same_state(contacted: &Agent, agents: &[Agent]) -> anyhow::Result<(u64, String)> {
    let status = contacted.json(&["status"]).await?;
    let mut states = BTreeSet::new();
    for agent in agents {
        let rows = status["agents"].as_array().context("the status has no agents")?;
        let row = rows
            .iter()
            .find(|row| row["name"] == *agent.name)
            .context("the status lacks the agent")?;
        let hash = row["stateHash"].as_str().with_context(|| format!("{row} has no hash"))?;
        states.insert((
            row["revision"].as_u64().context("the row has no revision")?,
            hash.to_owned(),
        ));
    }
    ensure!(states.len() == 1, "the states differ: {states:?}");
    states.pop_first().context("no agents given")
}

/// Returns the event log of an agent by a stale read.
pub async fn log_of(agent: &Agent) -> anyhow::Result<String> {
    Ok(agent.run(&["events", "--stale"]).await?.success()?.stdout)
}

/// Waits until all agents return the same event log, byte for byte, and returns it.
pub async fn same_log(agents: &[Agent]) -> String {
    until_ok("the same events on all agents", async || {
        let log = log_of(&agents[0]).await?;
        for agent in &agents[1..] {
            ensure!(log_of(agent).await? == log, "{} has other events", agent.name);
        }
        Ok(log)
    })
    .await
}

/// Parses an event log.
pub fn events(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect("one event per line")).collect()
}

/// Returns a client of an agent. It connects on first use, and reconnects after a restart of the
/// agent.
pub fn client(agent: &Agent) -> ServicesClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", agent.endpoint()));
    ServicesClient::new(endpoint.expect("a valid URI").connect_lazy())
}

/// Returns a new request id.
pub fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// Returns a change that sets the units of `contoso` in a region.
pub fn scaling(request_id: &str, region: &str, units: u32) -> v1::ChangeServiceRequest {
    let edit = Edit::Set(v1::SetRegion { region: region.to_owned(), units });
    v1::ChangeServiceRequest {
        context: Some(v1::ChangeContext {
            request_id: request_id.to_owned(),
            actor: "test".to_owned(),
            reason: String::new(),
            dry_run: false,
        }),
        service: "contoso".to_owned(),
        expected_revision: None,
        edits: vec![v1::Edit { edit: Some(edit) }],
    }
}
