//! What these tests ask of a cluster.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::process::{Agent, Dev, Sandbox, UnitProcess};
use meridian_testkit::wait::until_ok;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

pub const REGIONS: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// The port of the first service's gateways.
pub const GATEWAY: u16 = 8080;
/// Where a unit says who it is.
pub const STATUS: &str = "/status-0123456789abcdef";

/// What `meridian dev` starts by itself: three agents, one in each region, and the service
/// `contoso` in the first.
pub struct Three {
    pub dev: Dev,
    pub agents: Vec<Agent>,
    // The last to go, and everything with it.
    pub sandbox: Sandbox,
}

impl Three {
    pub async fn start() -> Self {
        let sandbox = Sandbox::new().await.expect("there is a place");
        let dev = Dev::start(&sandbox, &[]).await.expect("starts");
        let agents: Vec<_> = (1..).zip(REGIONS).map(|(n, name)| sandbox.agent(n, name)).collect();
        settled(&agents).await;
        Self { dev, agents, sandbox }
    }

    /// The agents but for one.
    pub fn others(&self, agent: &Agent) -> Vec<Agent> {
        self.agents.iter().filter(|other| other.name != agent.name).cloned().collect()
    }

    pub fn agent(&self, name: &str) -> &Agent {
        self.agents.iter().find(|agent| agent.name == name).expect("is one of the three")
    }

    /// The agent that leads.
    pub async fn leader(&self) -> Agent {
        self.agent(&leader(&self.agents[0]).await).clone()
    }

    /// Makes this agent the leader.
    pub async fn enthrone(&self, agent: &Agent) {
        until_ok("the transfer of leadership", async || {
            agent.json(&["cluster", "transfer-leader", &agent.name]).await?;
            ensure!(leader(agent).await == agent.name, "another one leads");
            Ok(())
        })
        .await;
    }
}

/// The name of the leader, as soon as one is known.
pub async fn leader(asked: &Agent) -> String {
    until_ok("a leader", async || {
        let status = asked.json(&["status"]).await?;
        Ok(status["leader"].as_str().context("none is known")?.to_owned())
    })
    .await
}

/// Runs a command that has to be done, and gives its data.
pub async fn done(asked: &Agent, command: &str) -> Value {
    let words: Vec<_> = command.split_whitespace().collect();
    asked.json(&words).await.unwrap_or_else(|error| panic!("{}: {command}: {error:#}", asked.name))
}

/// The region's row in `region list`.
pub async fn location(asked: &Agent, region: &str) -> Option<Value> {
    let rows = done(asked, "region list").await;
    rows.as_array().into_iter().flatten().find(|row| row["region"] == region).cloned()
}

/// Returns once what runs on these agents is what the log wants, and all of them know the same.
pub async fn settled(agents: &[Agent]) {
    until_ok("units, processes and gateways to agree with the regions", async || {
        for asked in agents {
            agree(asked, agents).await.with_context(|| format!("as {} says", asked.name))?;
        }
        same_state(&agents[0], agents).await?;
        Ok(())
    })
    .await;
}

/// Whether the units in /proc, `unit list` and the status paths of the gateways agree with
/// `region list`, on these agents.
async fn agree(asked: &Agent, agents: &[Agent]) -> anyhow::Result<()> {
    let regions = asked.json(&["region", "list"]).await?;
    let units = asked.json(&["unit", "list"]).await?;
    let units = units.as_array().context("are rows")?;
    let mut running = BTreeSet::new();
    for agent in agents {
        let own = agent.units()?;
        let port = answering(agent).await;
        if own.is_empty() {
            ensure!(port.is_err(), "nobody is left to answer at {}, but {port:?}", agent.name);
        } else {
            let unit = port?;
            ensure!(own.contains(&unit), "{unit:?} answers at {}, which has {own:?}", agent.name);
        }
        running.extend(own.into_iter().map(|unit| (agent.name.clone(), unit)));
    }
    let listed = units.iter().map(listed_unit).collect::<anyhow::Result<BTreeSet<_>>>()?;
    ensure!(running == listed, "{running:?} run, {listed:?} are listed");
    for region in regions.as_array().context("are rows")? {
        let name = region["region"].as_str().context("has a name")?;
        let count = units.iter().filter(|unit| unit["region"] == name).count() as u64;
        let inhabited = region["status"] != "noAgent";
        let wanted = if inhabited { region["units"].as_u64().unwrap_or(0) } else { 0 };
        let ready = !inhabited || region["status"] == "ready";
        ensure!(
            ready && region["readyUnits"] == wanted && count == wanted,
            "{region}, {count} run"
        );
    }
    Ok(())
}

/// A row of `unit list`, which has to be ready.
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
    unit().with_context(|| format!("{row} lacks something"))
}

/// The unit that answers at the status path of the agent's first gateway.
pub async fn answering(agent: &Agent) -> anyhow::Result<UnitProcess> {
    let answer = agent.gateway(GATEWAY, STATUS).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let said = answer.json()?;
    ensure!(said["agent"] == *agent.name, "{said} is not of {}", agent.name);
    let unit = || {
        Some(UnitProcess {
            service: said["service"].as_str()?.to_owned(),
            region: said["region"].as_str()?.to_owned(),
            incarnation: said["incarnation"].as_u64()?,
            pid: said["pid"].as_u64()?.try_into().ok()?,
        })
    };
    unit().with_context(|| format!("{said} lacks something"))
}

/// Whether all these agents have the same revision and the same state; gives both.
pub async fn same_state(asked: &Agent, agents: &[Agent]) -> anyhow::Result<(u64, String)> {
    let status = asked.json(&["status"]).await?;
    let mut states = BTreeSet::new();
    for agent in agents {
        let rows = status["agents"].as_array().context("has agents")?;
        let row = rows.iter().find(|row| row["name"] == *agent.name).context("has the agent")?;
        let hash = row["stateHash"].as_str().with_context(|| format!("{row} has no hash"))?;
        states.insert((row["revision"].as_u64().context("has a revision")?, hash.to_owned()));
    }
    ensure!(states.len() == 1, "the states differ: {states:?}");
    states.pop_first().context("there are agents")
}

/// The whole event log of an agent as it prints it, without asking the others.
pub async fn log_of(agent: &Agent) -> anyhow::Result<String> {
    Ok(agent.run(&["events", "--stale"]).await?.done()?.data)
}

/// The event log of all these agents, byte for byte the same; returned once it is.
pub async fn same_log(agents: &[Agent]) -> String {
    until_ok("the same events at all agents", async || {
        let log = log_of(&agents[0]).await?;
        for agent in &agents[1..] {
            ensure!(log_of(agent).await? == log, "{} has other events", agent.name);
        }
        Ok(log)
    })
    .await
}

/// The events of a log.
pub fn events(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
}

/// A client of this agent. It connects when it is first used, and again when the agent is back.
pub fn client(agent: &Agent) -> ServicesClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", agent.endpoint()));
    ServicesClient::new(endpoint.expect("is an address").connect_lazy())
}

/// A new request id.
pub fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// The change of `contoso` that gives a region so many units.
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
