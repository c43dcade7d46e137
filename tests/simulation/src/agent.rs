//! An agent as it is put together in the simulation: the real node and the real reconciler, on a
//! simulated network, disk and machine.

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use meridian_agent::{Reconciler, ReconcilerConfig};
use meridian_domain::agent::Address;
use meridian_domain::{
    AgentDescription, AgentName, ClusterId, DataVersion, Generation, NodeId, Timestamp,
};
use meridian_ports::Ports;
use meridian_replication::environment::{Clock, Environment};
use meridian_replication::founding::Founders;
use meridian_replication::node::{Node, NodeConfig};
use meridian_replication::peer::meeting::Lobby;
use meridian_storage::fuse::Fuse;
use meridian_storage::open::assemble;
use meridian_transport::Dialer;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::disk::Disk;
use crate::machine::Machine;
use crate::network::{self, Listener, PORT};
use crate::plan::{Fault, Plan};
use crate::trace;

/// The time of day at which simulations begin: some day in 2026.
pub const EPOCH_MS: u64 = 1_790_000_000_000;

/// An agent, whether it runs or not.
pub struct Agent {
    /// Its host.
    pub host: String,
    /// What it says of itself.
    pub description: AgentDescription,
    /// What outlives it.
    pub disk: Disk,
    /// Its machine.
    pub machine: Machine,
    plan: Arc<Plan>,
    /// The peer addresses of the founders, if it is the one that founds.
    founders: Option<Vec<Address>>,
    /// By how much its time of day is wrong, in milliseconds.
    skew_ms: Arc<Mutex<i64>>,
    life: Mutex<Option<Life>>,
}

/// An agent that runs.
#[derive(Clone)]
pub struct Life {
    /// Which life of the agent this is.
    pub number: u64,
    /// What it offers.
    pub ports: Ports,
    /// Where it runs.
    pub runtime: Handle,
    /// Whether it is to be believed.
    pub fuse: Fuse,
}

impl Agent {
    /// The agents of a plan, none of which runs.
    #[must_use]
    pub fn all(plan: &Arc<Plan>) -> Vec<Arc<Self>> {
        let address = |index: usize| {
            Address::new(format!("agent-{index}:{PORT}")).expect("is a host name and a port")
        };
        let agent = |(index, region)| {
            let host = format!("agent-{index}");
            let description = AgentDescription {
                name: AgentName::new(&*host).expect("is a name"),
                node: NodeId(plan.seed.wrapping_mul(1_000_003) ^ (index as u64 + 1) << 32),
                region: Clone::clone(region),
                zone: None,
                witness: false,
                client_address: address(index),
                peer_address: address(index),
                gateway_host: "127.0.0.1".to_owned(),
                supports: DataVersion::SUPPORTED,
            };
            let seed = plan.seed.wrapping_mul(31).wrapping_add(index as u64);
            Arc::new(Self {
                disk: Disk::new(seed, plan.sync),
                machine: Machine::new(&host, seed),
                host,
                description,
                plan: plan.clone(),
                founders: (index == 0).then(|| (0..plan.founders).map(address).collect()),
                skew_ms: Arc::default(),
                life: Mutex::default(),
            })
        };
        plan.agents.iter().enumerate().map(agent).collect()
    }

    /// The running agent, if its node has started.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.present().clone()
    }

    /// It does not run any more.
    pub fn ended(&self) {
        *self.present() = None;
    }

    /// Sets by how much its time of day is wrong, in milliseconds.
    pub fn set_skew(&self, skew_ms: i64) {
        *self.skew_ms.lock().expect("nothing panics while it holds this") = skew_ms;
    }

    /// One life of it, in its host's runtime.
    ///
    /// # Errors
    /// None: a node that stops by itself is noted, and started again by its supervisor.
    pub async fn run(self: Arc<Self>) -> turmoil::Result {
        match self.clone().live().await {
            Ok(()) => trace::note(format_args!("{}: ended", self.host)),
            Err(error) => trace::note(format_args!("{}: stopped: {error:#}", self.host)),
        }
        self.ended();
        Ok(())
    }

    async fn live(self: Arc<Self>) -> anyhow::Result<()> {
        let listener = Listener::bind(&self.host).await?;
        let dialer = network::dialer(&self.host, self.plan.silent);
        let disk = self.disk.clone();
        let remember = Box::new(move |cluster| {
            disk.set_cluster(cluster);
            Ok(())
        });
        let lobby = Lobby::new(self.description.clone(), self.disk.cluster(), remember);
        let met = CancellationToken::new();
        serve(listener.clone(), &lobby, None, met.clone());
        let (cluster, founders) = self.meet(&lobby, &dialer).await?;
        met.cancel();

        let fuse = Fuse::default();
        let (journal, database) = (self.disk.journal(), self.disk.database());
        let stores = assemble(Box::new(journal), Arc::new(database), &fuse)?;
        let node = Node::build(self.node_config(cluster, dialer.clone()), stores, fuse.clone());
        let node = node.await?;
        let shutdown = CancellationToken::new();
        serve(listener, &lobby, Some(&node), shutdown.clone());
        self.found(&node, &lobby, &dialer, founders).await?;
        let ports = node.ports();
        let generation = self.disk.raise_generation();
        self.reconcile(&ports, generation, shutdown.clone())?;
        trace::note(format_args!("{}: runs", self.host));
        *self.present() =
            Some(Life { number: generation.0, ports, runtime: Handle::current(), fuse });
        Ok(node.run(shutdown).await?)
    }

    async fn meet(
        &self,
        lobby: &Lobby,
        dialer: &Dialer,
    ) -> anyhow::Result<(ClusterId, Option<Founders>)> {
        if let Some(cluster) = lobby.cluster() {
            return Ok((cluster, None));
        }
        let Some(addresses) = &self.founders else {
            return Ok((lobby.admitted().await.cluster, None));
        };
        let founders = Founders::gather(lobby, dialer, self.description.node, addresses).await?;
        Ok((founders.cluster(), Some(founders)))
    }

    async fn found(
        &self,
        node: &Node,
        lobby: &Lobby,
        dialer: &Dialer,
        founders: Option<Founders>,
    ) -> anyhow::Result<()> {
        let Some(addresses) = &self.founders else { return Ok(()) };
        if node.is_founded().await? {
            return Ok(());
        }
        let founders = match founders {
            Some(founders) => founders,
            None => Founders::gather(lobby, dialer, self.description.node, addresses).await?,
        };
        Ok(node.found(founders).await?)
    }

    fn node_config(&self, cluster: ClusterId, dialer: Dialer) -> NodeConfig {
        let skew = self.skew_ms.clone();
        let clock = Clock::new(move || {
            let elapsed = turmoil::sim_elapsed().unwrap_or_default();
            let now = EPOCH_MS + u64::try_from(elapsed.as_millis()).unwrap_or(0);
            let skew = *skew.lock().expect("nothing panics while it holds this");
            Timestamp(now.saturating_add_signed(skew))
        });
        NodeConfig {
            cluster,
            description: self.description.clone(),
            timing: self.plan.profile.timing(),
            snapshot_after: self.plan.snapshot_after,
            keep_entries: self.plan.keep_entries,
            disk_floor: 0,
            data_directory: "/".into(),
            environment: Environment { dialer, clock },
        }
    }

    fn reconcile(
        &self,
        ports: &Ports,
        generation: Generation,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let config = ReconcilerConfig {
            agent: self.description.name.clone(),
            directory: "simulated".into(),
            generation,
            loads: ports.loads.clone(),
        };
        let (propose, read) = (ports.propose.clone(), ports.read.clone());
        let driver = Arc::new(self.machine.clone());
        let kept = Arc::new(self.disk.kept());
        let reconciler = Reconciler::build_with_store(kept, config, propose, read, driver);
        let reconciler = reconciler.context("the reconciler")?;
        let host = self.host.clone();
        tokio::spawn(async move {
            let ended = reconciler.run(shutdown.clone()).await;
            trace::note(format_args!("{host}: the reconciler ended: {ended:?}"));
            shutdown.cancel();
        });
        Ok(())
    }

    fn present(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().expect("nothing panics while it holds this")
    }

    /// Whether the plan has this fault.
    #[must_use]
    pub fn suffers(&self, fault: Fault) -> bool {
        self.plan.faults.contains(&fault)
    }
}

fn serve(listener: Listener, lobby: &Lobby, node: Option<&Node>, shutdown: CancellationToken) {
    let router = Server::builder()
        .add_service(lobby.service())
        .add_optional_service(node.map(Node::peer_service));
    let serving =
        router.serve_with_incoming_shutdown(listener.incoming(), shutdown.cancelled_owned());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            trace::note(format_args!("the peer port is served no more: {error}"));
        }
    });
}
