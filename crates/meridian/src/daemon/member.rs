//! An agent as a member of a cluster: its node, its client port, its units.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use meridian_agent::driver::Traffic;
use meridian_agent::{Prober, ProberConfig, round_trips};
use meridian_api::Server;
use meridian_domain::AgentDescription;
use meridian_domain::agent::Address;
use meridian_ports::{Ports, Read};
use meridian_replication::environment::Environment;
use meridian_replication::node::{Node, NodeConfig};
use meridian_replication::peer::meeting::Lobby;
use meridian_replication::peer::server::CheckedPeerService;
use meridian_steering::{Server as NameServer, StartError};
use meridian_storage::fuse::Fuse;
use meridian_storage::open::Stores;
use meridian_transport::Dialer;
use meridian_transport::accept::Limits;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::admission::{Membership, gather, with_newest_invitation};
use super::client_port::ClientPort;
use super::error::AgentError;
use super::http_port::LatePortal;
use super::peer_port::Late;
use super::prepare::Prepared;
use super::readiness;
use super::registration::{JoinError, check_cluster, register};
use super::units;
use crate::config::{AgentConfig, Start};
use crate::telemetry::health::Health;

/// Maximum time for which the name server waits until the agent has caught up: far longer than an election
/// and a snapshot take.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// An agent that is a member of a cluster.
pub struct Member {
    pub config: AgentConfig,
    /// Limits of the client port.
    pub client_limits: Limits,
    /// Maximum number of connections to the gateways of other agents.
    pub probe_connections: usize,
    /// Maximum number of pages with live updates.
    pub live_pages: usize,
    pub portal: LatePortal,
    pub description: AgentDescription,
    pub lobby: Lobby,
    pub health: Health,
    pub traffic: Traffic,
    pub membership: Membership,
    pub prepared: Prepared,
}

impl Member {
    /// Runs the node, the client port and the units until `shutdown` is cancelled or one of them
    /// fails.
    ///
    /// # Errors
    /// The first failure.
    pub async fn run(
        mut self,
        stores: Stores,
        fuse: Fuse,
        client: ClientPort,
        peer_service: Late<CheckedPeerService>,
        shutdown: CancellationToken,
    ) -> Result<(), AgentError> {
        let node = Node::build(self.node_config(), stores, fuse).await?;
        peer_service.fill(node.peer_service());
        tokio::select! {
            bootstrapped = self.bootstrap(&node) => bootstrapped?,
            () = shutdown.cancelled() => {}
        }
        let ports = node.ports();
        let ready = self.health.subscribe();
        let api =
            meridian_api::Config { accept: self.client_limits, ..meridian_api::Config::default() };
        let names = self.name_server(&ports).await?;
        let server = Server::build(api, ports.clone(), Arc::new(names.handle()), ready)?;
        self.portal.fill(meridian_portal::router(self.portal_config(), ports.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(readiness::follow(
            self.health.clone(),
            self.description.clone(),
            ports.read.clone(),
            ports.leadership.clone(),
            node.suspension().subscribe(),
            node.superseded(),
        ));
        tasks.spawn(round_trips::record(ports.clone()));
        tasks.spawn(serve_names(names, self.health.subscribe(), shutdown.clone()));
        // The node stops last, because it completes the requests that clients already sent.
        let (stop, stop_node) = (shutdown.child_token(), CancellationToken::new());
        tasks.spawn(self.prober(&ports).run(stop.clone()));
        let (cluster, read) = (self.membership.cluster, ports.read.clone());
        let stopping = stop.clone().cancelled_owned();
        let serving = cancelling(&stop, server.run(client.into_listener(), stopping));
        let reconciling = cancelling(
            &stop,
            units::run(
                &self.config,
                cluster,
                ports,
                self.traffic.clone(),
                node.duplicate(),
                stop.clone(),
            ),
        );
        let front = cancelling(&stop_node, async { tokio::join!(serving, reconciling) });
        let behind = cancelling(&stop, node.run(stop_node.clone()));
        let mut running = pin!(async { tokio::join!(behind, front) });
        let limit = self.config.shutdown_timeout();
        let (node_result, (serve_result, units_result)) = tokio::select! {
            all = running.as_mut() => all,
            Err(refused) = self.register(read) => {
                stop.cancel();
                // The refusal is the cause, however the shutdown ends.
                let _ = within(limit, running).await;
                return Err(refused.into());
            }
            panic = panicked(&mut tasks) => {
                stop.cancel();
                let _ = within(limit, running).await;
                std::panic::resume_unwind(panic);
            }
            () = stop.cancelled() => {
                within(limit, running).await?
            }
        };
        node_result?;
        serve_result?;
        units_result?;
        tracing::info!("agent stopped");
        Ok(())
    }

    fn node_config(&self) -> NodeConfig {
        NodeConfig {
            cluster: self.membership.cluster,
            epoch: self.prepared.epoch.clone(),
            addresses: self.prepared.addresses.clone(),
            description: self.description.clone(),
            network: self.config.network,
            snapshot_after: self.config.snapshot_after_entries,
            keep_entries: self.config.keep_entries,
            disk_floor: self.config.disk_floor_bytes,
            data_directory: Some(self.config.data_dir.clone()),
            process_run: self.lobby.process_run(),
            environment: Environment::default(),
        }
    }

    fn portal_config(&self) -> meridian_portal::Config {
        meridian_portal::Config {
            agent: self.description.name.clone(),
            hosts: self.config.http_hosts.clone(),
            live_pages: self.live_pages,
        }
    }

    async fn name_server(&self, ports: &Ports) -> Result<NameServer, StartError> {
        let (read, history) = (ports.read.clone(), ports.history.clone());
        let local_view = ports.local_view.subscribe();
        let settings = ports.settings.clone();
        NameServer::bind(self.config.name_server(), read, history, local_view, settings).await
    }

    fn prober(&self, ports: &Ports) -> Prober {
        let timing = self.config.network.timing();
        let config = ProberConfig {
            agent: self.description.name.clone(),
            window: timing.probe_window,
            report_interval: timing.probe_report_interval(),
            connections: self.probe_connections,
            dialer: Dialer::default(),
        };
        Prober::new(config, ports)
    }

    /// Initializes the cluster with its first members if this is the bootstrap agent. Also resumes a
    /// bootstrap that an earlier process run started and did not finish.
    async fn bootstrap(&mut self, node: &Node) -> Result<(), AgentError> {
        let Start::Bootstrap(peers) = &self.config.start else {
            return Ok(());
        };
        if node.is_bootstrapped().await? {
            return Ok(());
        }
        let initial_members = match self.membership.initial_members.take() {
            Some(initial_members) => initial_members,
            None => gather(&self.lobby, &self.description, peers).await?,
        };
        Ok(node.bootstrap(initial_members).await?)
    }

    /// Registers this agent if it never was. A node that has read its cluster's state from the log is
    /// registered already; it only verifies that its cluster is the one that it is configured to
    /// join. Returns only if the agent is refused.
    async fn register(&self, read: Arc<dyn Read>) -> Result<(), JoinError> {
        let Membership { cluster, ref endpoints, .. } = self.membership;
        let is_registered = || read.state().header.cluster.is_some();
        if is_registered() {
            check_cluster(endpoints, cluster).await?;
        } else {
            let epoch = self.prepared.epoch.epoch;
            let attempt = async |endpoints: &[Address]| {
                register(endpoints, &self.description, cluster, epoch).await
            };
            let mut durable = read.durable();
            tokio::select! {
                result = with_newest_invitation(&self.lobby, endpoints, attempt) => result?,
                _ = durable.wait_for(|_| is_registered()) => {}
            }
        }
        std::future::pending().await
    }
}

/// Runs `task`, and cancels `others` when it ends for any reason.
async fn cancelling<T>(others: &CancellationToken, task: impl Future<Output = T>) -> T {
    let result = task.await;
    others.cancel();
    result
}

async fn within<T>(limit: Duration, shutdown: impl Future<Output = T>) -> Result<T, AgentError> {
    timeout(limit, shutdown).await.map_err(|_| AgentError::ShutdownTimeout { limit })
}

/// Returns the panic of the first task that panics. Tasks that end are not missed.
async fn panicked(tasks: &mut JoinSet<()>) -> Box<dyn std::any::Any + Send> {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            return panic;
        }
    }
    std::future::pending().await
}

/// Serves names from the time that the agent is ready until `shutdown` is cancelled: before that, its
/// state may lack regions that were lost while it was down. After [`CATCH_UP_TIMEOUT`] it serves by
/// the state that it has, because there may be no quorum. A failure does not end the agent: its units
/// serve, and clients ask the other name servers.
async fn serve_names(
    names: NameServer,
    mut ready: watch::Receiver<bool>,
    shutdown: CancellationToken,
) {
    tokio::select! {
        _ = timeout(CATCH_UP_TIMEOUT, ready.wait_for(|ready| *ready)) => {}
        () = shutdown.cancelled() => return,
    }
    if let Err(error) = names.run(shutdown).await {
        tracing::error!(error = &error as &dyn std::error::Error, "name server stopped");
    }
}
