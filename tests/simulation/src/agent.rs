//! An agent of the simulation: the real node and the real reconciler, on a simulated network, disk
//! and machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use meridian_agent::{Prober, ProberConfig, Reconciler, ReconcilerConfig};
use meridian_domain::agent::Address;
use meridian_domain::{
    AgentDescription, AgentName, ClusterId, DataVersion, Generation, NodeId, Timestamp,
};
use meridian_ports::Ports;
use meridian_replication::bootstrap::InitialMembers;
use meridian_replication::environment::{Clock, Environment};
use meridian_replication::node::{Node, NodeConfig};
use meridian_replication::peer::meeting::{Admission, Lobby};
use meridian_replication::peer::process_run::ProcessRun as ProcessIdentity;
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::fuse::Fuse;
use meridian_storage::open::assemble;
use meridian_transport::{Dialer, settings};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::disk::Disk;
use crate::gateways;
use crate::machine::Machine;
use crate::network::{self, Listener, PORT};
use crate::plan::{Fault, Plan};
use crate::trace;

/// Wall clock time at the start of a simulation: a day in 2026.
pub const EPOCH_MS: u64 = 1_790_000_000_000;

/// An agent, running or not.
pub struct Agent {
    /// Host name.
    pub host: String,
    /// Description for registration.
    pub description: AgentDescription,
    /// State that survives the process.
    pub disk: Disk,
    /// The machine that runs its units.
    pub machine: Machine,
    plan: Arc<Plan>,
    /// The peer addresses of the initial agents, for the one that bootstraps the cluster.
    initial_peers: Option<Vec<Address>>,
    /// Offset of its wall clock in milliseconds.
    skew_ms: Arc<Mutex<i64>>,
    process: Mutex<Option<ProcessRun>>,
}

/// A running process of an agent.
#[derive(Clone)]
pub struct ProcessRun {
    /// Number of the process run: its generation.
    pub number: u64,
    /// Ports of the node.
    pub ports: Ports,
    /// Runtime of the host.
    pub runtime: Handle,
    /// Blows when a store fails; the state is not valid afterwards.
    pub fuse: Fuse,
}

impl Agent {
    /// Creates the agents of a plan; none is running.
    #[must_use]
    pub fn all(plan: &Arc<Plan>) -> Vec<Arc<Self>> {
        let address =
            |index: usize| Address::new(format!("agent-{index}:{PORT}")).expect("a valid address");
        let agent = |(index, region)| {
            let host = format!("agent-{index}");
            let gateways = gateways::host(index);
            let description = AgentDescription {
                name: AgentName::new(&*host).expect("a valid name"),
                node: NodeId(plan.seed.wrapping_mul(1_000_003) ^ (index as u64 + 1) << 32),
                region: Clone::clone(region),
                zone: None,
                witness: false,
                client_address: address(index),
                peer_address: address(index),
                gateway_host: if plan.probes() { gateways } else { "127.0.0.1".to_owned() },
                supports: DataVersion::SUPPORTED,
            };
            let seed = plan.seed.wrapping_mul(31).wrapping_add(index as u64);
            Arc::new(Self {
                disk: Disk::new(seed, plan.sync),
                machine: Machine::new(&host, seed),
                host,
                description,
                plan: plan.clone(),
                initial_peers: (index == 0)
                    .then(|| (0..plan.initial_agents).map(address).collect()),
                skew_ms: Arc::default(),
                process: Mutex::default(),
            })
        };
        plan.agents.iter().enumerate().map(agent).collect()
    }

    /// Returns the running process, once its node has started.
    #[must_use]
    pub fn process(&self) -> Option<ProcessRun> {
        self.lock_process().clone()
    }

    /// Marks the agent as stopped.
    pub fn mark_stopped(&self) {
        *self.lock_process() = None;
    }

    /// Sets the offset of the wall clock in milliseconds.
    pub fn set_skew(&self, skew_ms: i64) {
        *self.skew_ms.lock().expect("no thread panics while holding the lock") = skew_ms;
    }

    /// Runs the agent's process in the runtime of its host.
    ///
    /// # Errors
    /// Never: a node that stops is traced, and its supervisor restarts it.
    pub async fn run(self: Arc<Self>) -> turmoil::Result {
        match self.clone().run_process().await {
            Ok(()) => trace::note(format_args!("{}: exited", self.host)),
            Err(error) => trace::note(format_args!("{}: stopped: {error:#}", self.host)),
        }
        self.mark_stopped();
        Ok(())
    }

    async fn run_process(self: Arc<Self>) -> anyhow::Result<()> {
        let listener = Listener::bind(&self.host).await?;
        let dialer = network::dialer(&self.host, self.plan.silent);
        let disk = self.disk.clone();
        let remember = Box::new(move |cluster, _| {
            disk.set_cluster(cluster);
            Ok(())
        });
        let lobby =
            Lobby::new(self.description.clone(), self.disk.cluster().map(Admission::to), remember);
        let admitted = CancellationToken::new();
        serve(listener.clone(), &lobby, None, admitted.clone());
        let (cluster, initial_members) = self.join_cluster(&lobby, &dialer).await?;
        admitted.cancel();

        let fuse = Fuse::default();
        let (journal, database) = (self.disk.journal(), self.disk.database());
        let stores = assemble(Box::new(journal), Arc::new(database), &fuse)?;
        let config = self.node_config(cluster, lobby.process_run(), dialer.clone());
        let node = Node::build(config, stores, fuse.clone()).await?;
        let shutdown = CancellationToken::new();
        serve(listener, &lobby, Some(&node), shutdown.clone());
        self.bootstrap(&node, &lobby, &dialer, initial_members).await?;
        let ports = node.ports();
        let generation = self.disk.raise_generation();
        self.start_reconciler(&ports, generation, shutdown.clone())?;
        if self.plan.probes() {
            tokio::spawn(self.prober(&ports, dialer).run(shutdown.clone()));
        }
        trace::note(format_args!("{}: started", self.host));
        *self.lock_process() =
            Some(ProcessRun { number: generation.0, ports, runtime: Handle::current(), fuse });
        Ok(node.run(shutdown).await?)
    }

    async fn join_cluster(
        &self,
        lobby: &Lobby,
        dialer: &Dialer,
    ) -> anyhow::Result<(ClusterId, Option<InitialMembers>)> {
        if let Some(cluster) = lobby.cluster() {
            return Ok((cluster, None));
        }
        let Some(addresses) = &self.initial_peers else {
            return Ok((lobby.admitted().await.cluster, None));
        };
        let initial_members =
            InitialMembers::gather(lobby, dialer, self.description.node, addresses).await?;
        Ok((initial_members.cluster(), Some(initial_members)))
    }

    async fn bootstrap(
        &self,
        node: &Node,
        lobby: &Lobby,
        dialer: &Dialer,
        initial_members: Option<InitialMembers>,
    ) -> anyhow::Result<()> {
        let Some(addresses) = &self.initial_peers else { return Ok(()) };
        if node.is_bootstrapped().await? {
            return Ok(());
        }
        let initial_members = match initial_members {
            Some(initial_members) => initial_members,
            None => InitialMembers::gather(lobby, dialer, self.description.node, addresses).await?,
        };
        Ok(node.bootstrap(initial_members).await?)
    }

    fn node_config(
        &self,
        cluster: ClusterId,
        process_run: ProcessIdentity,
        dialer: Dialer,
    ) -> NodeConfig {
        let skew = self.skew_ms.clone();
        let clock = Clock::new(move || {
            let elapsed = turmoil::sim_elapsed().unwrap_or_default();
            let now = EPOCH_MS + u64::try_from(elapsed.as_millis()).unwrap_or(0);
            let skew = *skew.lock().expect("no thread panics while holding the lock");
            Timestamp(now.saturating_add_signed(skew))
        });
        NodeConfig {
            cluster,
            epoch: LocalEpoch::default(),
            addresses: BTreeMap::new(),
            description: self.description.clone(),
            network: self.plan.profile,
            snapshot_after: self.plan.snapshot_after,
            keep_entries: self.plan.keep_entries,
            disk_floor: 0,
            data_directory: None,
            process_run,
            environment: Environment { dialer, clock },
        }
    }

    fn start_reconciler(
        &self,
        ports: &Ports,
        generation: Generation,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let config = ReconcilerConfig {
            agent: self.description.name.clone(),
            node: self.description.node,
            directory: "simulated".into(),
            generation,
            gateway: [127, 0, 0, 1].into(),
            loads: ports.loads.clone(),
        };
        let (propose, read) = (ports.propose.clone(), ports.read.clone());
        let driver = Arc::new(self.machine.clone());
        let desired_store = Arc::new(self.disk.desired_store());
        let reconciler = Reconciler::build_with_store(desired_store, config, propose, read, driver);
        let reconciler = reconciler.context("cannot start the reconciler")?;
        let host = self.host.clone();
        tokio::spawn(async move {
            let result = reconciler.run(shutdown.clone()).await;
            trace::note(format_args!("{host}: the reconciler stopped: {result:?}"));
            shutdown.cancel();
        });
        Ok(())
    }

    fn prober(&self, ports: &Ports, dialer: Dialer) -> Prober {
        let timing = self.plan.profile.timing();
        let config = ProberConfig {
            agent: self.description.name.clone(),
            window: timing.probe_window,
            report_interval: timing.probe_report_interval(),
            connections: 100,
            dialer,
        };
        Prober::new(config, ports)
    }

    fn lock_process(&self) -> MutexGuard<'_, Option<ProcessRun>> {
        self.process.lock().expect("no thread panics while holding the lock")
    }

    /// Returns true if the plan includes this fault.
    #[must_use]
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.plan.faults.contains(&fault)
    }
}

fn serve(listener: Listener, lobby: &Lobby, node: Option<&Node>, shutdown: CancellationToken) {
    // As in the daemon: without a keepalive, a stream whose end is lost never ends.
    let router = settings::PEER
        .server()
        .add_service(lobby.service())
        .add_optional_service(node.map(Node::peer_service));
    let serving =
        router.serve_with_incoming_shutdown(listener.incoming(), shutdown.cancelled_owned());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            trace::note(format_args!("the peer server failed: {error}"));
        }
    });
}
