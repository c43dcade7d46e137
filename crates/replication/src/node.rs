//! Composition of a cluster member: the only module that depends on all others.

mod tasks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use meridian_domain::{Address, AgentDescription, ClusterId, Epoch, NodeId};
use meridian_ports::{
    Leadership, LocalView, MedianRoundTrips, Ports, SharedSetting, SharedSettings, UnitLoads,
};
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::fuse::Fuse;
use meridian_storage::log_store::LogStore;
use meridian_storage::open::Stores;
use meridian_storage::state_machine::StateMachine;
use meridian_storage::store::Store;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::{BootstrapError, InitialMembers};
use crate::cluster_clock::ClusterClock;
use crate::contact::ContactTracker;
use crate::disk_space::DiskSpaceRecord;
use crate::environment::{Clock, Environment};
use crate::instance::Raft;
use crate::leader_watch::LeaderWatch;
use crate::members::Members;
use crate::membership::Membership;
use crate::peer::address_book::AddressBook;
use crate::peer::epoch::ClusterEpoch;
use crate::peer::identity::Source;
use crate::peer::introductions::{Introductions, Verifier};
use crate::peer::links::Links;
use crate::peer::network::Factory;
use crate::peer::pool::{Pool, PoolConfig};
use crate::peer::process_run::ProcessRun;
use crate::peer::server::{CheckedPeerService, PeerService};
use crate::proposer::Proposer;
use crate::reachability::Votes;
use crate::reader::{ReadIndexFetcher, Reader};
use crate::sequencer::Sequencer;
use crate::suspension::Suspension;
use crate::timing::Profile;

/// Configuration of a node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Cluster of the node.
    pub cluster: ClusterId,
    /// Epoch of the node, with the recovery that started it if that was done on this node.
    pub epoch: LocalEpoch,
    /// Description of this agent, as it is registered.
    pub description: AgentDescription,
    /// Network profile, which decides the intervals and timeouts of Raft.
    pub network: Profile,
    /// Number of log entries after which a snapshot is built and older entries may be purged.
    pub snapshot_after: u64,
    /// Number of entries already in the snapshot that are kept, so that a member that was offline
    /// briefly catches up without a snapshot.
    pub keep_entries: u64,
    /// Minimum free space of the disk in bytes, below which changes are rejected; 0 for no minimum.
    pub disk_floor: u64,
    /// Data directory, on that disk; `None` if the disk is simulated, so that nothing is measured.
    pub data_directory: Option<PathBuf>,
    /// Peer addresses given by an operator. Each overrides the address of that node in the log, until
    /// the log changes that address; then the log is right.
    pub addresses: BTreeMap<NodeId, Address>,
    /// This run of the process, as the lobby identifies it.
    pub process_run: ProcessRun,
    /// Connections and clock.
    pub environment: Environment,
}

impl NodeConfig {
    /// Returns the settings of the node that are to be equal on all members.
    fn shared_settings(&self) -> SharedSettings {
        SharedSettings::from([
            (SharedSetting::Network, self.network.name().to_owned()),
            (SharedSetting::SnapshotAfterEntries, self.snapshot_after.to_string()),
            (SharedSetting::KeepEntries, self.keep_entries.to_string()),
        ])
    }
}

/// Member of the cluster.
pub struct Node {
    config: NodeConfig,
    cluster: ClusterEpoch,
    raft: Raft,
    log: LogStore,
    store: Store,
    proposer: Proposer,
    reader: Reader,
    members: Members,
    votes: Votes,
    peer: PeerService,
    verifier: Verifier,
    clocks: ClusterClock,
    leadership: watch::Sender<Leadership>,
    loads: watch::Sender<UnitLoads>,
    local_view: watch::Sender<LocalView>,
    settings: watch::Sender<SharedSettings>,
    round_trips: watch::Sender<MedianRoundTrips>,
    space: Arc<DiskSpaceRecord>,
    suspension: Suspension,
    duplicate: watch::Sender<bool>,
    fuse: Fuse,
}

/// Error that stopped a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Unrecoverable error: the fuse has blown.
    #[error("{cause}")]
    Fuse {
        /// First cause.
        cause: String,
    },
    /// Raft did not start, or has stopped.
    #[error("Raft failed: {cause}")]
    Raft {
        /// Cause, as openraft states it.
        cause: String,
    },
    /// The stores were not closed. Acknowledged changes are durable; the derived store may have to
    /// be rebuilt.
    #[error("failed to close the stores")]
    Close(#[source] std::io::Error),
}

impl Node {
    /// Starts Raft on opened stores.
    ///
    /// # Errors
    /// If openraft rejects the configuration or the contents of the stores.
    pub async fn build(config: NodeConfig, stores: Stores, fuse: Fuse) -> Result<Self, NodeError> {
        let Stores { log, state_machine, store } = stores;
        let node = config.description.node;
        let cluster = ClusterEpoch::new(config.cluster, config.epoch.epoch);
        let clock = config.environment.clock.clone();
        let (pool, introductions, verifier) = connections(&config, &cluster);
        let raft = start_raft(&config, pool.clone(), &store, log.clone(), state_machine).await?;
        let space = Arc::new(DiskSpaceRecord::new(config.disk_floor));
        let leader_watch = LeaderWatch::new(&raft);
        let contact = ContactTracker::new(raft.clone());
        let membership = Membership::new(raft.clone(), store.clone(), contact.clone());
        let links = Arc::new(Links::new(pool.clone(), &raft));
        let clocks = ClusterClock::new(node, raft.clone(), links.clone(), clock.clone());
        let suspension = Suspension::default();
        let sequencer = Sequencer::start(
            raft.clone(),
            store.clone(),
            fuse.clone(),
            space.clone(),
            suspension.clone(),
            &clocks,
        );
        let proposer = proposer(node, &leader_watch, &sequencer, &links, &fuse);
        let (loads, round_trips) = (watch::Sender::default(), watch::Sender::default());
        let settings = watch::Sender::new(config.shared_settings());
        let members = Members {
            cluster: cluster.clone(),
            node,
            raft: raft.clone(),
            store: store.clone(),
            links,
            leader_watch,
            contact: contact.clone(),
            membership,
            unreachable_after: config.network.timing().silence,
            space: space.clone(),
            suspension: suspension.clone(),
            settings: settings.subscribe(),
            round_trips: round_trips.subscribe(),
            loads: loads.subscribe(),
        };
        let votes = Votes::new(&members, &config.network.timing());
        let fetcher = read_index_fetcher(&members);
        let reader = Reader::start(fetcher, store.clone(), contact, &fuse);
        let peer = peer_service(&members, &votes, sequencer, clock, introductions);
        Ok(Self {
            config,
            cluster,
            raft,
            log,
            store,
            proposer,
            reader,
            members,
            votes,
            peer,
            verifier,
            clocks,
            leadership: watch::Sender::default(),
            loads,
            local_view: watch::Sender::default(),
            settings,
            round_trips,
            space,
            suspension,
            duplicate: watch::Sender::default(),
            fuse,
        })
    }

    /// Returns true if the log of this node contains the initial membership of the cluster.
    ///
    /// # Errors
    /// If Raft has stopped.
    pub async fn is_bootstrapped(&self) -> Result<bool, NodeError> {
        let initialized = self.raft.is_initialized().await;
        initialized.map_err(|error| NodeError::Raft { cause: error.to_string() })
    }

    /// Initializes Raft with the initial members. Has no effect if Raft is already initialized.
    ///
    /// # Errors
    /// [`BootstrapError::Raft`].
    pub async fn bootstrap(&self, members: InitialMembers) -> Result<(), BootstrapError> {
        members.initialize(&self.raft).await
    }

    /// Returns the ports of this node.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports {
            propose: Arc::new(self.proposer.clone()),
            read: Arc::new(self.reader.clone()),
            history: Arc::new(self.store.clone()),
            cluster: Arc::new(self.members.clone()),
            reachability: Arc::new(self.votes.clone()),
            leadership: self.leadership.subscribe(),
            loads: self.loads.clone(),
            local_view: self.local_view.clone(),
            settings: self.settings.clone(),
        }
    }

    /// Returns the gRPC service for the other members, to be served on the peer port.
    #[must_use]
    pub fn peer_service(&self) -> CheckedPeerService {
        self.peer.clone().checked(&self.cluster, self.config.description.node)
    }

    /// Returns a watch of the epoch that superseded that of this node: an operator recovered the
    /// cluster without it, so it takes part in no decision anymore.
    #[must_use]
    pub fn superseded(&self) -> watch::Receiver<Option<Epoch>> {
        self.cluster.superseded()
    }

    /// Returns the suspension of this node: it takes no part in Raft while its disk does not respond.
    #[must_use]
    pub fn suspension(&self) -> Suspension {
        self.suspension.clone()
    }

    /// Returns a watch of whether this process runs on a copy of another agent's data directory. Such a
    /// node stops with an error.
    #[must_use]
    pub fn duplicate(&self) -> watch::Receiver<bool> {
        self.duplicate.subscribe()
    }

    /// Runs until `shutdown` or an unrecoverable error, then stops Raft. After `shutdown`, also
    /// closes the stores.
    ///
    /// # Errors
    /// The unrecoverable error, or a failure to close the stores.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), NodeError> {
        let mut tasks = self.background_tasks();
        tasks.spawn(self.verifier.run());
        let blown = tokio::select! {
            () = shutdown.cancelled() => None,
            cause = self.fuse.blown() => Some(cause),
            () = self.members.leader_watch.clone().publish(&self.suspension, &self.leadership) => {
                Some("Raft stopped unexpectedly; see the log of the agent".to_owned())
            }
            cause = task_panicked(&mut tasks) => Some(cause),
        };
        if let Some(cause) = &blown {
            // Whatever the cause, nothing is acknowledged from here on.
            self.fuse.blow(cause);
        }
        // Not awaited: a task may be blocked by a disk that hangs.
        tasks.abort_all();
        self.leadership.send_replace(Leadership::Unknown);
        // An error here means only that a task of Raft panicked, which is already logged.
        let _ = self.raft.shutdown().await;
        if let Some(cause) = blown {
            return Err(NodeError::Fuse { cause });
        }
        // The log closes first: the derived store writes only entries that are durable in the log.
        self.log.close().await.map_err(NodeError::Close)?;
        self.store.close().await.map_err(NodeError::Close)
    }
}

/// Creates the connections to other members, and what learns of those that moved.
fn connections(
    config: &NodeConfig,
    cluster: &ClusterEpoch,
) -> (Arc<Pool>, Introductions, Verifier) {
    let timing = config.network.timing();
    let dialer = config.environment.dialer.clone();
    let AgentDescription { node, peer_address: address, .. } = config.description.clone();
    let book = Arc::new(AddressBook::new(config.addresses.clone()));
    let (introductions, verifier) =
        Introductions::new(config.cluster, book.clone(), dialer.clone(), timing.connect);
    let pool = Pool::new(PoolConfig {
        cluster: cluster.clone(),
        source: Source { node, address, run: config.process_run.id() },
        dialer,
        book,
        connect_timeout: timing.connect,
        stalled_after: timing.silence,
    });
    (Arc::new(pool), introductions, verifier)
}

async fn start_raft(
    config: &NodeConfig,
    pool: Arc<Pool>,
    store: &Store,
    log: LogStore,
    state_machine: StateMachine,
) -> Result<Raft, NodeError> {
    let failed = |cause: &dyn std::fmt::Display| NodeError::Raft { cause: cause.to_string() };
    let timing = config.network.timing();
    let raft_config = timing.raft_config(config.snapshot_after, config.keep_entries);
    let raft_config = Arc::new(raft_config.validate().map_err(|error| failed(&error))?);
    let network = Factory { pool, timing, store: store.clone() };
    let node = config.description.node;
    let raft = Raft::new(node, raft_config, network, log, state_machine).await;
    raft.map_err(|error| failed(&error))
}

/// Returns the cause once a task has panicked. Tasks that exit normally are ignored.
async fn task_panicked(tasks: &mut JoinSet<()>) -> String {
    while let Some(exited) = tasks.join_next().await {
        if exited.is_err_and(|error| error.is_panic()) {
            return "a task of this node panicked; see the log of the agent".to_owned();
        }
    }
    std::future::pending().await
}

fn proposer(
    node: NodeId,
    leader_watch: &LeaderWatch,
    sequencer: &Sequencer,
    links: &Arc<Links>,
    fuse: &Fuse,
) -> Proposer {
    let (leader_watch, sequencer) = (leader_watch.clone(), sequencer.clone());
    Proposer { node, leader_watch, sequencer, links: links.clone(), fuse: fuse.clone() }
}

fn peer_service(
    members: &Members,
    votes: &Votes,
    sequencer: Sequencer,
    clock: Clock,
    introductions: Introductions,
) -> PeerService {
    PeerService {
        raft: members.raft.clone(),
        store: members.store.clone(),
        sequencer,
        leader_watch: members.leader_watch.clone(),
        contact: members.contact.clone(),
        membership: members.membership.clone(),
        clock,
        loads: members.loads.clone(),
        settings: members.settings.clone(),
        introductions,
        space: members.space.clone(),
        votes: votes.clone(),
        suspension: members.suspension.clone(),
    }
}

fn read_index_fetcher(members: &Members) -> ReadIndexFetcher {
    ReadIndexFetcher {
        node: members.node,
        raft: members.raft.clone(),
        store: members.store.clone(),
        leader_watch: members.leader_watch.clone(),
        links: members.links.clone(),
        suspension: members.suspension.clone(),
    }
}
