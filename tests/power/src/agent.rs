//! What an agent does on its disk: its generation, the set of units that it is to have, and the intents
//! of those that it starts. Each life is one of the real reconciler and the real driver, on the real
//! stores of a cluster of one; its units are processes of this program.

mod check;
mod driver;
mod log;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use meridian_agent::driver::{Builtin, BuiltinConfig, Driver, Program, UnitLimits};
use meridian_agent::{Reconciler, ReconcilerConfig, generation};
use meridian_domain::agent::Address;
use meridian_domain::{
    AgentDescription, AgentName, Command, DataVersion, Edit, Generation, RegionName, ServiceName,
    Tier,
};
use meridian_ports::UnitLoads;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::{self, Chunks, Node};
use crate::said::Said;
use crate::workload::NODE;

pub use check::check;
use driver::Telling;
use log::Log;

/// The run directory, in the data directory as agents have it.
const RUN: &str = "run";
/// A unit that has not come or gone by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a life of an agent begins: with what it finds, and a number of its own.
struct Agent {
    log: Arc<Log>,
    driver: Arc<Telling>,
    shutdown: CancellationToken,
    reconciling: tokio::task::JoinHandle<Result<()>>,
}

/// The first life: a service is created, grows, shrinks, and grows again.
///
/// # Errors
/// If anything fails; nothing is said after that.
pub async fn first_life(path: &Path) -> Result<()> {
    let agent = Agent::start(path).await?;
    let cluster = node::identity().cluster;
    let founders = vec![description()];
    agent.log.happens(Command::BootstrapCluster { cluster, agents: founders }).await?;
    let primary = region();
    let (service, tier) = (service(), Tier::Premium);
    let create = Command::CreateService { service, tier, primary, port: None };
    agent.log.happens(create).await?;
    agent.settle(1).await?;
    agent.scale(3).await?;
    Said::Releasing.say()?;
    agent.scale(1).await?;
    agent.scale(2).await?;
    agent.end().await
}

/// A later life: it has the units that it finds wanted, more of them, and none in the end.
///
/// # Errors
/// If anything fails; nothing is said after that.
pub async fn later_life(path: &Path) -> Result<()> {
    let agent = Agent::start(path).await?;
    let wanted = agent.log.units();
    agent.settle(wanted).await?;
    if wanted > 0 {
        agent.scale(4).await?;
        Said::Releasing.say()?;
        agent.log.happens(Command::DeleteService { service: service(), expected: None }).await?;
        agent.settle(0).await?;
    }
    agent.end().await
}

impl Agent {
    async fn start(path: &Path) -> Result<Self> {
        let directory = node::establish(path)?;
        Said::Established.say()?;
        let generation = generation::raise(path)?;
        Said::Raised { generation: generation.0 }.say()?;
        let log = Arc::new(Log::find(Node::open(directory, Chunks::Small)?).await?);
        Said::Opened.say()?;
        let builtin = Builtin::open(machine(path, generation)).await?;
        let driver = Arc::new(Telling::new(builtin));
        let config = config(path, generation);
        let reconciler =
            Reconciler::build(config, log.clone(), log.clone(), driver.clone() as Arc<dyn Driver>)?;
        let shutdown = CancellationToken::new();
        let running = reconciler.run(shutdown.clone());
        let reconciling = tokio::spawn(async move { Ok(running.await.map(drop)?) });
        Ok(Self { log, driver, shutdown, reconciling })
    }

    async fn scale(&self, units: u16) -> Result<()> {
        let edits = vec![Edit::Set { region: region(), units }];
        let change = Command::ChangeService { service: service(), expected: None, edits };
        self.log.happens(change).await?;
        self.settle(usize::from(units)).await
    }

    /// Waits until the driver has so many units, all of them ready.
    async fn settle(&self, units: usize) -> Result<()> {
        let settled = tokio::time::timeout(PATIENCE, self.driver.settled(units)).await;
        settled.with_context(|| format!("waiting for {units} units"))?
    }

    async fn end(self) -> Result<()> {
        self.shutdown.cancel();
        self.reconciling.await??;
        self.log.close().await?;
        Ok(Said::Closed.say()?)
    }
}

/// What the reconciler is told, here and where a directory is checked.
fn config(path: &Path, generation: Generation) -> ReconcilerConfig {
    let loads = watch::Sender::new(UnitLoads::default());
    ReconcilerConfig { agent: name(), directory: path.to_owned(), generation, loads }
}

fn machine(path: &Path, generation: Generation) -> BuiltinConfig {
    let program = std::env::current_exe().expect("a program has a path").into();
    BuiltinConfig {
        cluster: node::identity().cluster,
        agent: name(),
        generation,
        directory: path.join(RUN),
        gateway: IpAddr::V4(own_address()),
        program: Program {
            // Units are not watched: what they do on the disk ends with them.
            path: "/usr/bin/env".into(),
            arguments: vec!["-u".into(), "LD_PRELOAD".into(), program, "unit".into()],
        },
        limits: UnitLimits::default(),
        drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
    }
}

/// An address of the loopback network that no other process of this program has.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, middle, low)
}

fn name() -> AgentName {
    AgentName::new("we-1").expect("is a name")
}

fn region() -> RegionName {
    RegionName::new("westeurope").expect("is in the catalogue")
}

fn service() -> ServiceName {
    ServiceName::new("contoso").expect("is a name")
}

fn description() -> AgentDescription {
    let address = || Address::new("127.0.0.1:1").expect("is a host and a port");
    AgentDescription {
        name: name(),
        node: NODE,
        region: region(),
        zone: None,
        witness: false,
        client_address: address(),
        peer_address: address(),
        gateway_host: "127.0.0.1".to_owned(),
        supports: DataVersion::SUPPORTED,
    }
}
