//! One node of a cluster, in its own runtime.

use std::collections::BTreeMap;
use std::net::{self, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use meridian_domain::agent::Address;
use meridian_domain::{
    AgentDescription, AgentName, ClusterId, DataVersion, NodeId, RegionName, Timestamp,
};
use meridian_ports::Ports;
use meridian_replication::bootstrap::InitialMembers;
use meridian_replication::environment::{Clock, Environment};
use meridian_replication::node::{Node, NodeConfig, NodeError};
use meridian_replication::peer::meeting::{Admission, Lobby};
use meridian_replication::suspension::Suspension;
use meridian_replication::timing::Profile;
use meridian_storage::disk::directory::{DataDirectory, Identity};
use meridian_storage::disk::sled_database::SledDatabase;
use meridian_storage::disk::wal::{ChunkLimits, Wal};
use meridian_storage::fuse::Fuse;
use meridian_storage::open::assemble;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Options;
use super::hanging_journal::{HangingJournal, SyncHold};

/// One node of a cluster.
pub struct TestNode {
    pub(super) description: AgentDescription,
    index: usize,
    directory: PathBuf,
    sync_hold: SyncHold,
    running: Option<Running>,
}

/// Disk and clock of a node.
struct Machine {
    directory: PathBuf,
    sync_hold: SyncHold,
    clock: Clock,
}

struct Running {
    ports: Ports,
    suspension: Suspension,
    fuse: Fuse,
    shutdown: CancellationToken,
    node: JoinHandle<Result<(), NodeError>>,
    runtime: Runtime,
}

/// Dropping a node does not wait for it to stop.
impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

impl TestNode {
    pub(super) fn new(
        root: &Path,
        index: usize,
        region: &str,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let name = format!("{region}-{index}");
        let address = Address::new(address.to_string())?;
        let description = AgentDescription {
            name: AgentName::new(&*name)?,
            node: NodeId(Uuid::new_v4().as_u64_pair().0),
            region: RegionName::new(region)?,
            zone: None,
            witness: false,
            client_address: address.clone(),
            peer_address: address,
            gateway_host: "127.0.0.1".to_owned(),
            supports: DataVersion::SUPPORTED,
        };
        let (directory, sync_hold) = (root.join(name), SyncHold::default());
        Ok(Self { description, index, directory, sync_hold, running: None })
    }

    /// Returns the ports of the running node.
    ///
    /// # Panics
    /// If the node is stopped.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        self.running().expect("the node is running")
    }

    /// Returns the ports of the node, or `None` if it is stopped.
    pub(super) fn running(&self) -> Option<&Ports> {
        self.running.as_ref().map(|running| &running.ports)
    }

    /// Returns the name of the agent.
    #[must_use]
    pub fn name(&self) -> &AgentName {
        &self.description.name
    }

    /// Returns the peer address.
    #[must_use]
    pub fn peer_address(&self) -> &Address {
        &self.description.peer_address
    }

    /// Returns the data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the control over the syncs of the node's Raft log.
    #[must_use]
    pub fn sync_hold(&self) -> &SyncHold {
        &self.sync_hold
    }

    /// Returns the suspension of the running node.
    ///
    /// # Panics
    /// If the node is stopped.
    #[must_use]
    pub fn suspension(&self) -> &Suspension {
        &self.running.as_ref().expect("the node is running").suspension
    }

    /// Returns a stopped node on a copy of the data directory, with another peer address.
    pub(super) fn copy(&self, to: &Path, peer_address: Address) -> anyhow::Result<Self> {
        let copied = Command::new("cp").arg("-a").arg(&self.directory).arg(to).status()?;
        anyhow::ensure!(copied.success(), "cannot copy {}", self.directory.display());
        let description = AgentDescription { peer_address, ..self.description.clone() };
        let (directory, sync_hold) = (to.to_owned(), SyncHold::default());
        Ok(Self { description, index: self.index, directory, sync_hold, running: None })
    }

    /// Waits until the node stops by itself, and returns the error.
    ///
    /// # Panics
    /// If it is not running, or stops without an error.
    pub async fn stopped(&mut self) -> NodeError {
        let running = self.running.as_mut().expect("the node is running");
        let ended = (&mut running.node).await.expect("the node does not panic");
        ended.expect_err("it stops with an error")
    }

    /// Stops the node as a disk failure would.
    ///
    /// # Panics
    /// If the node is stopped.
    pub fn fail(&self) {
        self.running
            .as_ref()
            .expect("the node is running")
            .fuse
            .blow("failure injected by the test");
    }

    pub(super) async fn start(
        &mut self,
        cluster: ClusterId,
        options: &Options,
        listener: net::TcpListener,
        initial_members: Option<InitialMembers>,
    ) -> anyhow::Result<()> {
        // With its own runtime, everything that the node spawned ends with it, as in a process.
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let ahead = options.clocks_ahead.get(self.index).copied().unwrap_or_default();
        let machine = Machine {
            directory: self.directory.clone(),
            sync_hold: self.sync_hold.clone(),
            clock: clock_ahead(ahead),
        };
        let (description, options) = (self.description.clone(), options.clone());
        let shutdown = CancellationToken::new();
        let started = runtime.spawn(start(
            description,
            machine,
            cluster,
            options,
            listener,
            initial_members,
            shutdown.clone(),
        ));
        let Started { ports, suspension, fuse, node } = started.await??;
        self.running = Some(Running { ports, suspension, fuse, shutdown, node, runtime });
        Ok(())
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Running { ports, shutdown, node, runtime, .. } =
            self.running.take().context("the node is not running")?;
        drop(ports);
        shutdown.cancel();
        let ended = node.await;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)))
            .await?;
        Ok(ended??)
    }
}

/// Returns a clock that is ahead of that of this machine.
fn clock_ahead(ahead: Duration) -> Clock {
    Clock::new(move || {
        let now = SystemTime::now() + ahead;
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    })
}

/// Started node, and its handles.
struct Started {
    ports: Ports,
    suspension: Suspension,
    fuse: Fuse,
    node: JoinHandle<Result<(), NodeError>>,
}

/// Starts a node in the current runtime.
async fn start(
    description: AgentDescription,
    machine: Machine,
    cluster: ClusterId,
    options: Options,
    listener: net::TcpListener,
    initial_members: Option<InitialMembers>,
    shutdown: CancellationToken,
) -> anyhow::Result<Started> {
    let Machine { directory, sync_hold, clock } = machine;
    let mut held = DataDirectory::open(&directory)?;
    let identity = Identity { cluster, node: description.node };
    held.establish(identity)?;
    let admission = Some(Admission::to(cluster));
    let lobby = Lobby::new(description.clone(), admission, Box::new(|_, _| Ok(())));
    let config = NodeConfig {
        cluster,
        epoch: held.epoch()?,
        addresses: BTreeMap::new(),
        description,
        network: Profile::Lan,
        snapshot_after: options.snapshot_after,
        keep_entries: options.keep_entries,
        disk_floor: options.disk_floor,
        data_directory: Some(directory),
        process_run: lobby.process_run(),
        environment: Environment { clock, ..Environment::default() },
    };
    let fuse = Fuse::default();
    let inner = Wal::open(&held, identity, ChunkLimits::default(), fuse.clone())?;
    let database = SledDatabase::open(&held.database_path(), fuse.clone())?;
    let journal = HangingJournal { inner, hold: sync_hold };
    let stores = assemble(Box::new(journal), Arc::new(database), &fuse)?;
    let node = Node::build(config, stores, fuse.clone()).await?;
    serve(TcpListener::from_std(listener)?, lobby, Some(&node), shutdown.clone());
    if let Some(initial_members) = initial_members {
        node.bootstrap(initial_members).await?;
    }
    let (ports, suspension) = (node.ports(), node.suspension());
    let node = tokio::spawn(async move {
        let _held = held;
        node.run(shutdown).await
    });
    Ok(Started { ports, suspension, fuse, node })
}

/// Serves the peer API of a node, or only the lobby of one that is not yet admitted.
pub(super) fn serve(
    listener: TcpListener,
    lobby: Lobby,
    node: Option<&Node>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let router = meridian_transport::settings::PEER
        .server()
        .add_service(lobby.service())
        .add_optional_service(node.map(Node::peer_service));
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(async move {
        let served = router.serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned());
        served.await.expect("the peer server does not fail");
    })
}
