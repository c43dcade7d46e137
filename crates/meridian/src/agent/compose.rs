//! One agent, put together.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meridian_api::Server;
use meridian_domain::agent::Address;
use meridian_domain::{AgentDescription, DataVersion, NodeId};
use meridian_ports::Read;
use meridian_replication::environment::Environment;
use meridian_replication::founding::FoundingError;
use meridian_replication::node::{Node, NodeConfig, NodeError};
use meridian_replication::peer::meeting::Lobby;
use meridian_replication::peer::server::CheckedPeerService;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError, Identity};
use meridian_storage::fuse::Fuse;
use meridian_storage::open::{self, OpenError, Stores};
use meridian_transport::listen::{self, ListenError};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admission::{AdmissionError, Membership, become_member, gather, with_newest_invitation};
use super::peer_port::{self, Late};
use super::readiness;
use super::registration::{JoinError, check_cluster, register};
use super::units::{self, UnitsError};
use crate::config::{AgentConfig, Start};
use crate::telemetry::health::Health;
use crate::telemetry::logs::NotALevel;
use crate::telemetry::{http, metrics};

/// How long an agent may take to stop: the longest drain of its units, and some.
const STOP: Duration = Duration::from_secs(20);

/// Why an agent does not run, or runs no more.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The log cannot be written as wanted.
    #[error("the log level makes no sense")]
    Log(#[from] NotALevel),
    /// Metrics cannot be collected.
    #[error("the metrics cannot be collected")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The process cannot run anything.
    #[error("the process cannot be set up")]
    Runtime(#[source] io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It does not come to belong to a cluster.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// Its cluster does not take it.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Its cluster cannot be founded.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// What it has on disk cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The node stopped.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The units of this machine are kept no more.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// The client port cannot be served.
    #[error(transparent)]
    Api(#[from] meridian_api::BuildError),
    /// The client port is served no more.
    #[error(transparent)]
    Serve(#[from] meridian_api::ServeError),
    /// It did not stop in time.
    #[error("the agent did not stop within {STOP:?}, and was ended as it was")]
    Stuck,
}

impl AgentError {
    /// What to do about it, in a line.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Log(_) | Self::Metrics(_) | Self::Runtime(_) => {
                "see to the limits of this process, such as its number of open files"
            }
            Self::Directory(DirectoryError::InUse { .. }) => {
                "stop the other process, or give this agent another data_dir"
            }
            Self::Listen(_) => "stop the other process, or configure another address",
            Self::Admission(_) | Self::Join(_) | Self::Founding(_) => {
                "mend the configuration and start the agent again"
            }
            Self::Directory(DirectoryError::File(_)) => {
                "see to that path and its rights, or give this agent another data_dir"
            }
            // Its data is whole: units of another driver, say, still run.
            Self::Units(UnitsError::Driver(_)) => {
                "mend what the cause names, then start the agent again; its units go on meanwhile"
            }
            Self::Directory(_) | Self::Open(_) | Self::Units(_) => {
                "see to the disk; what cannot be mended is wiped, and the agent joins as a new node"
            }
            Self::Node(_) => {
                "see to the cause, then start the agent again; its units go on meanwhile"
            }
            Self::Api(_) | Self::Serve(_) | Self::Stuck => "start the agent again",
        }
    }
}

/// An agent that holds its data directory and its ports.
pub struct Agent {
    config: AgentConfig,
    description: AgentDescription,
    directory: Arc<Mutex<DataDirectory>>,
    lobby: Lobby,
    client: TcpListener,
    peer: TcpListener,
    http: TcpListener,
    fuse: Fuse,
    health: Health,
    metrics: PrometheusHandle,
}

impl Agent {
    /// Locks the data directory and opens all ports. Nothing else is changed.
    ///
    /// # Errors
    /// If the directory or a port is in use, or cannot be used.
    pub async fn build(config: AgentConfig, metrics: PrometheusHandle) -> Result<Self, AgentError> {
        let directory = DataDirectory::open(&config.data_dir)?;
        let client = listen::bind("client_listen", config.client.listen).await?;
        let peer = listen::bind("peer_listen", config.peer.listen).await?;
        let http = listen::bind("http_listen", config.http).await?;
        let identity = directory.identity();
        // Not written down before the agent belongs to a cluster: until then it is nobody's.
        let node = identity.map_or_else(|| NodeId(rand::random()), |identity| identity.node);
        let description = describe(&config, node);
        tracing::info!(
            agent = %config.name, region = %config.region, %node,
            cluster = identity.map(|identity| identity.cluster.to_string()),
            client = %config.client.listen, peer = %config.peer.listen, http = %config.http,
            data = %config.data_dir.display(), version = env!("CARGO_PKG_VERSION"),
            "the agent starts"
        );
        let directory = Arc::new(Mutex::new(directory));
        let lobby = lobby(&description, &directory, identity);
        let fuse = Fuse::default();
        let health = Health::new(fuse.clone());
        Ok(Self {
            config,
            description,
            directory,
            lobby,
            client,
            peer,
            http,
            fuse,
            health,
            metrics,
        })
    }

    /// Works until `shutdown`, or until it must not go on. Its units outlive it.
    ///
    /// # Errors
    /// Why it stopped, if not because of `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let peer_service = Late::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(self.http, self.health.clone(), self.metrics.clone()));
        tasks.spawn(metrics::upkeep(self.metrics));
        tasks.spawn(peer_port::serve(self.peer, self.lobby.clone(), peer_service.clone()));
        self.health.set_obstacle(Some("this agent belongs to no cluster yet".to_owned()));
        let membership = tokio::select! {
            membership = become_member(&self.lobby, &self.description, &self.config.start) => {
                membership?
            }
            () = shutdown.cancelled() => return Ok(()),
        };
        let identity = Identity { cluster: membership.cluster, node: self.description.node };
        let stores = tokio::task::block_in_place(|| {
            open::open(&lock(&self.directory), identity, &self.fuse)
        })?;
        let member = Member {
            config: self.config,
            description: self.description,
            lobby: self.lobby,
            health: self.health,
            membership,
        };
        member.run(stores, self.fuse, self.client, peer_service, shutdown).await
    }
}

/// An agent that is part of a cluster.
struct Member {
    config: AgentConfig,
    description: AgentDescription,
    lobby: Lobby,
    health: Health,
    membership: Membership,
}

impl Member {
    async fn run(
        mut self,
        stores: Stores,
        fuse: Fuse,
        client: TcpListener,
        peer_service: Late<CheckedPeerService>,
        shutdown: CancellationToken,
    ) -> Result<(), AgentError> {
        let node = Node::build(self.node_config(), stores, fuse).await?;
        peer_service.fill(node.peer_service());
        tokio::select! {
            founded = self.found(&node) => founded?,
            () = shutdown.cancelled() => {}
        }
        let ports = node.ports();
        let ready = self.health.announced();
        let server = Server::build(meridian_api::Config::default(), ports.clone(), ready)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(readiness::follow(
            self.health.clone(),
            self.description.clone(),
            ports.read.clone(),
            ports.leadership.clone(),
        ));
        // The node goes last: what clients were promised until then needs it.
        let (stop, stop_node) = (shutdown.child_token(), CancellationToken::new());
        let (cluster, read) = (self.membership.cluster, ports.read.clone());
        let serving = ending(&stop, server.run(client, stop.clone().cancelled_owned()));
        let keeping = ending(&stop, units::keep(&self.config, cluster, ports, stop.clone()));
        let front = ending(&stop_node, async { tokio::join!(serving, keeping) });
        let behind = ending(&stop, node.run(stop_node.clone()));
        let mut working = pin!(async { tokio::join!(behind, front) });
        let (node_ended, (served, kept)) = tokio::select! {
            all = working.as_mut() => all,
            Err(refused) = self.register(read) => {
                stop.cancel();
                // However that ends, the refusal is why.
                let _ = within_limit(working).await;
                return Err(refused.into());
            }
            () = stop.cancelled() => {
                within_limit(working).await?
            }
        };
        node_ended?;
        served?;
        kept?;
        tracing::info!("stopped");
        Ok(())
    }

    fn node_config(&self) -> NodeConfig {
        NodeConfig {
            cluster: self.membership.cluster,
            description: self.description.clone(),
            timing: self.config.network.timing(),
            snapshot_after: self.config.snapshot_after_entries,
            keep_entries: self.config.keep_entries,
            disk_floor: self.config.disk_floor_bytes,
            data_directory: self.config.data_dir.clone(),
            environment: Environment::default(),
        }
    }

    /// Gives the cluster its first members, if that is this agent's task. Also where an earlier life
    /// of it began to found and got no further.
    async fn found(&mut self, node: &Node) -> Result<(), AgentError> {
        let Start::Found(addresses) = &self.config.start else {
            return Ok(());
        };
        if node.is_founded().await? {
            return Ok(());
        }
        let founders = match self.membership.founders.take() {
            Some(founders) => founders,
            None => gather(&self.lobby, &self.description, addresses).await?,
        };
        Ok(node.found(founders).await?)
    }

    /// Has this agent registered, if it never was: a node that was registered has heard of it from
    /// the log, and only makes sure that its cluster is the one that it is told to join. Returns only
    /// if it is refused.
    async fn register(&self, read: Arc<dyn Read>) -> Result<(), JoinError> {
        let Membership { cluster, ref endpoints, .. } = self.membership;
        let heard = || read.state().header.cluster.is_some();
        if heard() {
            check_cluster(endpoints, cluster).await?;
        } else {
            let asking =
                async |endpoints: &[Address]| register(endpoints, &self.description, cluster).await;
            let mut durable = read.durable();
            tokio::select! {
                registered = with_newest_invitation(&self.lobby, endpoints, asking) => registered?,
                _ = durable.wait_for(|_| heard()) => {}
            }
        }
        std::future::pending().await
    }
}

/// Does the work, and cancels `others` when it ends, for whatever reason.
async fn ending<T>(others: &CancellationToken, work: impl Future<Output = T>) -> T {
    let done = work.await;
    others.cancel();
    done
}

async fn within_limit<T>(work: impl Future<Output = T>) -> Result<T, AgentError> {
    tokio::time::timeout(STOP, work).await.map_err(|_| AgentError::Stuck)
}

fn describe(config: &AgentConfig, node: NodeId) -> AgentDescription {
    AgentDescription {
        name: config.name.clone(),
        node,
        region: config.region.clone(),
        zone: config.zone,
        witness: config.witness,
        client_address: config.client.advertise.clone(),
        peer_address: config.peer.advertise.clone(),
        gateway_host: config.gateway_advertise.clone(),
        supports: DataVersion::SUPPORTED,
    }
}

/// The lobby that writes the agent's identity into the data directory.
fn lobby(
    description: &AgentDescription,
    directory: &Arc<Mutex<DataDirectory>>,
    identity: Option<Identity>,
) -> Lobby {
    let (directory, node) = (Arc::clone(directory), description.node);
    let remember = move |cluster| {
        let established = lock(&directory).establish(Identity { cluster, node });
        established.map_err(io::Error::other)
    };
    let cluster = identity.map(|identity| identity.cluster);
    Lobby::new(description.clone(), cluster, Box::new(remember))
}

fn lock(directory: &Mutex<DataDirectory>) -> MutexGuard<'_, DataDirectory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}
