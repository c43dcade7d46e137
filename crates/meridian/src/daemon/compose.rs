//! Construction of one agent, up to its membership in a cluster.

use std::io;
use std::sync::{Arc, Mutex};

use meridian_domain::{AgentDescription, DataVersion, NodeId, State};
use meridian_replication::duplicate::DuplicateCheck;
use meridian_replication::peer::meeting::{Admission, Lobby};
use meridian_storage::disk::directory::{DataDirectory, DirectoryError, Identity};
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::fuse::Fuse;
use meridian_storage::open;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admission::become_member;
use super::client_port::ClientPort;
use super::descriptors::Shares;
use super::error::AgentError;
use super::http_port::{self, LatePortal};
use super::member::Member;
use super::peer_port::{self, Late};
use super::prepare::{lock, prepare};
use crate::config::AgentConfig;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{self, Metrics};
use meridian_transport::{Dialer, listen};

/// An agent that holds its data directory and its ports.
pub struct Agent {
    config: AgentConfig,
    shares: Shares,
    description: AgentDescription,
    directory: Arc<Mutex<DataDirectory>>,
    lobby: Lobby,
    client: TcpListener,
    peer: TcpListener,
    http: TcpListener,
    fuse: Fuse,
    health: Health,
    metrics: Metrics,
}

impl Agent {
    /// Locks the data directory and opens all ports. Changes nothing else.
    ///
    /// # Errors
    /// If the directory or a port is in use, or cannot be used.
    pub async fn build(
        mut config: AgentConfig,
        shares: Shares,
        metrics: Metrics,
    ) -> Result<Self, AgentError> {
        shares.check(&config);
        config.limits.units = shares.units;
        let directory = DataDirectory::open(&config.data_dir)?;
        let client = listen::bind("client_listen", config.client.listen).await?;
        let peer = listen::bind("peer_listen", config.peer.listen).await?;
        let http = listen::bind("http_listen", config.http).await?;
        let identity = directory.identity();
        // Stored only once the agent is a member of a cluster; until then the number is provisional.
        let node = identity.map_or_else(|| NodeId(rand::random()), |identity| identity.node);
        let description = describe(&config, node);
        tracing::info!(
            agent = %config.name, region = %config.region, %node,
            cluster = identity.map(|identity| identity.cluster.to_string()),
            client = %config.client.listen, peer = %config.peer.listen, http = %config.http,
            data = %config.data_dir.display(), version = env!("CARGO_PKG_VERSION"),
            "agent starting"
        );
        let directory = Arc::new(Mutex::new(directory));
        let lobby = lobby(&description, &directory, identity)?;
        let fuse = Fuse::default();
        let health = Health::new(fuse.clone());
        Ok(Self {
            config,
            shares,
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

    /// Runs until `shutdown` is cancelled or a fatal error occurs. Units keep running afterwards,
    /// unless `drain_on_stop` is set.
    ///
    /// # Errors
    /// The fatal error.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let shares = self.shares;
        let client = ClientPort::new(self.client, shares.clients, self.lobby.clone());
        let peer_service = Late::default();
        let traffic = self.metrics.traffic.clone();
        let mut tasks = JoinSet::new();
        let portal = LatePortal::default();
        let (health, pages) = (self.health.clone(), portal.clone());
        let http = http_port::serve(self.http, shares.http, health, self.metrics.clone(), pages);
        tasks.spawn(http);
        tasks.spawn(metrics::upkeep(self.metrics));
        tasks.spawn(peer_port::serve(
            self.peer,
            shares.peers,
            self.lobby.clone(),
            peer_service.clone(),
        ));
        if self.lobby.cluster().is_none() {
            let reason = "this agent is not a member of a cluster yet";
            self.health.set_not_ready(Some(reason.to_owned()));
        }
        let membership = tokio::select! {
            membership = become_member(&self.lobby, &self.description, &self.config.start) => {
                membership?
            }
            () = shutdown.cancelled() => return Ok(()),
        };
        self.health.set_not_ready(Some("this agent is starting".to_owned()));
        let identity = Identity { cluster: membership.cluster, node: self.description.node };
        let stores = tokio::task::block_in_place(|| {
            open::open(&lock(&self.directory), identity, &self.fuse)
        })?;
        check_name(&stores.store.state(), &self.description)?;
        let prepared = prepare(&self.directory, &stores, identity.node).await?;
        if let Some(address) = prepared.own_address.clone()
            && address != self.description.peer_address
        {
            // The agent has moved, or this is a copy of the data directory of one that runs there.
            let check = DuplicateCheck {
                cluster: membership.cluster,
                node: self.description.node,
                process_run: self.lobby.process_run(),
                dialer: Dialer::default(),
                timeout: self.config.network.timing().connect,
            };
            check.check(&address).await?;
        }
        let member = Member {
            config: self.config,
            client_limits: shares.clients,
            probe_connections: shares.probes,
            live_pages: http_port::live_pages(shares.http),
            portal,
            description: self.description,
            lobby: self.lobby,
            health: self.health,
            traffic,
            membership,
            prepared,
        };
        member.run(stores, self.fuse, client, peer_service, shutdown).await
    }
}

/// Refuses a data directory that is registered under another name. An agent under the wrong name
/// would neither be found by the others nor know its units.
fn check_name(state: &State, description: &AgentDescription) -> Result<(), AgentError> {
    let AgentDescription { node, name, .. } = description;
    let mut agents = state.agents.values().map(|agent| &agent.description);
    match agents.find(|agent| agent.node == *node && agent.name != *name) {
        Some(registered) => Err(AgentError::OtherName {
            registered: registered.name.clone(),
            configured: name.clone(),
        }),
        None => Ok(()),
    }
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

/// Returns a lobby that stores the agent's identity in the data directory.
fn lobby(
    description: &AgentDescription,
    directory: &Arc<Mutex<DataDirectory>>,
    identity: Option<Identity>,
) -> Result<Lobby, DirectoryError> {
    let epoch = lock(directory).epoch()?.epoch;
    let (directory, node) = (Arc::clone(directory), description.node);
    let remember = move |cluster, epoch| {
        let mut directory = lock(&directory);
        // The epoch comes first: a directory with an identity is complete.
        let entered = LocalEpoch::joined(epoch);
        let established = match directory.epoch() {
            Ok(stored) if stored == entered => Ok(()),
            Ok(_) => directory.store_epoch(&entered),
            Err(error) => Err(error),
        };
        let established =
            established.and_then(|()| directory.establish(Identity { cluster, node }));
        established.map_err(io::Error::other)
    };
    let admission = identity.map(|identity| Admission { epoch, ..Admission::to(identity.cluster) });
    Ok(Lobby::new(description.clone(), admission, Box::new(remember)))
}
