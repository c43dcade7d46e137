//! An agent's files under power cuts: its generation, its desired units, and the intents of the
//! units that it starts. Each process run uses the real reconciler and driver on the real stores of
//! a single-node cluster; units are processes of this program.

mod check;
mod driver;
mod log;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use meridian_agent::driver::{Builtin, BuiltinConfig, Driver, Program, Traffic, UnitLimits};
use meridian_agent::{Reconciler, ReconcilerConfig, generation};
use meridian_domain::agent::Address;
use meridian_domain::{
    AgentDescription, AgentName, Command, DataVersion, Edit, Generation, RegionName, ServiceName,
    Tier, WhenDisabled,
};
use meridian_ports::UnitLoads;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::{self, Chunks, Node};
use crate::progress::Progress;
use crate::workload::NODE;

pub use check::check;
use driver::ReportingDriver;
use log::Log;

/// Run directory within the data directory, as in agents.
const RUN: &str = "run";
/// Timeout for a unit to start or stop.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A process run of an agent.
struct Agent {
    log: Arc<Log>,
    driver: Arc<ReportingDriver>,
    shutdown: CancellationToken,
    reconciler: tokio::task::JoinHandle<Result<()>>,
}

/// The first process run: creates a service, and scales it up, down and up again.
///
/// # Errors
/// If any step fails; no further progress is reported.
pub async fn first_run(path: &Path) -> Result<()> {
    let agent = Agent::start(path).await?;
    let cluster = node::identity().cluster;
    let agents = vec![description()];
    agent.log.apply(Command::BootstrapCluster { cluster, agents }).await?;
    let primary = region();
    let (service, tier) = (service(), Tier::Premium);
    let (port, when_disabled) = (None, WhenDisabled::Refuse);
    let create = Command::CreateService { service, tier, primary, port, when_disabled };
    agent.log.apply(create).await?;
    agent.wait_for_units(1).await?;
    agent.scale(3).await?;
    Progress::Releasing.report()?;
    agent.scale(1).await?;
    agent.scale(2).await?;
    agent.shut_down().await
}

/// A later process run: starts the desired units that it finds, scales them up, and deletes the
/// service.
///
/// # Errors
/// If any step fails; no further progress is reported.
pub async fn later_run(path: &Path) -> Result<()> {
    let agent = Agent::start(path).await?;
    let desired = agent.log.units();
    agent.wait_for_units(desired).await?;
    if desired > 0 {
        agent.scale(4).await?;
        Progress::Deleting.report()?;
        agent.log.apply(Command::DeleteService { service: service(), expected: None }).await?;
        agent.wait_for_units(0).await?;
    }
    agent.shut_down().await
}

impl Agent {
    async fn start(path: &Path) -> Result<Self> {
        let directory = node::establish(path)?;
        Progress::Established.report()?;
        let generation = generation::raise(path)?;
        Progress::GenerationRaised { generation: generation.0 }.report()?;
        let log = Arc::new(Log::open(Node::open(directory, Chunks::Small)?).await?);
        Progress::Opened.report()?;
        let builtin = Builtin::open(machine(path, generation)).await?;
        let driver = Arc::new(ReportingDriver::new(builtin));
        let config = config(path, generation);
        let reconciler =
            Reconciler::build(config, log.clone(), log.clone(), driver.clone() as Arc<dyn Driver>)?;
        let shutdown = CancellationToken::new();
        let running = reconciler.run(shutdown.clone());
        let reconciler = tokio::spawn(async move { Ok(running.await.map(drop)?) });
        Ok(Self { log, driver, shutdown, reconciler })
    }

    async fn scale(&self, units: u16) -> Result<()> {
        let edits = vec![Edit::Set { region: region(), units }];
        let change = Command::ChangeService { service: service(), expected: None, edits };
        self.log.apply(change).await?;
        self.wait_for_units(usize::from(units)).await
    }

    /// Waits until the driver has exactly `units` units, all ready.
    async fn wait_for_units(&self, units: usize) -> Result<()> {
        let ready = tokio::time::timeout(TIMEOUT, self.driver.wait_for_units(units)).await;
        ready.with_context(|| format!("timed out waiting for {units} units"))?
    }

    async fn shut_down(self) -> Result<()> {
        self.shutdown.cancel();
        self.reconciler.await??;
        self.log.close().await?;
        Ok(Progress::Closed.report()?)
    }
}

/// Returns the reconciler's configuration, also used by the check.
fn config(path: &Path, generation: Generation) -> ReconcilerConfig {
    let loads = watch::Sender::new(UnitLoads::default());
    let (directory, gateway) = (path.to_owned(), IpAddr::V4(own_address()));
    ReconcilerConfig { agent: name(), node: NODE, directory, generation, gateway, loads }
}

fn machine(path: &Path, generation: Generation) -> BuiltinConfig {
    let program = std::env::current_exe().expect("the path of this program").into();
    BuiltinConfig {
        cluster: node::identity().cluster,
        agent: name(),
        generation,
        directory: path.join(RUN),
        gateway: IpAddr::V4(own_address()),
        program: Program {
            // Units are not recorded: their files do not outlive them.
            path: "/usr/bin/env".into(),
            arguments: vec!["-u".into(), "LD_PRELOAD".into(), program, "unit".into()],
        },
        limits: UnitLimits::default(),
        traffic: Traffic::default(),
        user: None,
        drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
    }
}

/// Returns a loopback address that depends on the process id, so that processes do not share it.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, middle, low)
}

fn name() -> AgentName {
    AgentName::new("we-1").expect("a valid name")
}

fn region() -> RegionName {
    RegionName::new("westeurope").expect("a valid name")
}

fn service() -> ServiceName {
    ServiceName::new("contoso").expect("a valid name")
}

fn description() -> AgentDescription {
    let address = || Address::new("127.0.0.1:1").expect("a valid address");
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
