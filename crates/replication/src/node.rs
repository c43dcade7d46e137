//! One member of the cluster, put together: the only place that knows all parts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use meridian_domain::{AgentDescription, ClusterId, Command, Verdict};
use meridian_ports::{
    Consistency, Leadership, Ports, Proposal, Propose, Read, Requester, UnitLoads,
};
use meridian_storage::disk::space::free_bytes;
use meridian_storage::fuse::Fuse;
use meridian_storage::log_store::LogStore;
use meridian_storage::open::Stores;
use meridian_storage::store::Store;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contact::Contact;
use crate::environment::Environment;
use crate::founding::{Founders, FoundingError};
use crate::instance::Raft;
use crate::leader_tasks::LeaderTasks;
use crate::leader_watch::LeaderWatch;
use crate::members::Members;
use crate::membership::Membership;
use crate::peer::links::Links;
use crate::peer::network::Factory;
use crate::peer::server::{CheckedPeerService, PeerService};
use crate::proposer::Proposer;
use crate::reader::{Asker, Reader};
use crate::sequencer::{DiskSpace, Sequencer};
use crate::timing::Timing;

/// Between two looks at how full the disk is.
const LOOK_AT_DISK: Duration = Duration::from_secs(1);
/// Between two attempts to tell the cluster of this agent's addresses.
const ANNOUNCE: Duration = Duration::from_secs(1);

/// What a node is told about itself and its surroundings.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// What it says of itself to the others.
    pub description: AgentDescription,
    /// How long Raft waits for what.
    pub timing: Timing,
    /// Log entries after which a snapshot is built and older entries may be purged.
    pub snapshot_after: u64,
    /// Entries kept behind the snapshot, so that a member that was away briefly needs none.
    pub keep_entries: u64,
    /// Bytes that must stay free on the disk: below, changes are refused. 0 for no floor.
    pub disk_floor: u64,
    /// The directory whose disk that is.
    pub data_directory: PathBuf,
    /// What it takes from the machine that it runs on.
    pub environment: Environment,
}

/// A member of the cluster.
pub struct Node {
    config: NodeConfig,
    raft: Raft,
    log: LogStore,
    store: Store,
    proposer: Proposer,
    reader: Reader,
    members: Members,
    peer: PeerService,
    leader_watch: LeaderWatch,
    leadership: watch::Sender<Leadership>,
    loads: watch::Sender<UnitLoads>,
    space: Arc<DiskSpace>,
    fuse: Fuse,
}

/// Why a node stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It can no longer be trusted with data.
    #[error("{cause}")]
    Fuse {
        /// The first cause.
        cause: String,
    },
    /// Raft would not start.
    #[error("Raft did not start: {cause}")]
    Raft {
        /// What openraft says.
        cause: String,
    },
    /// What was acknowledged is durable; what is derived from it may have to be derived again.
    #[error("the stores could not be closed")]
    Close(#[source] std::io::Error),
}

impl Node {
    /// Starts Raft on opened stores.
    ///
    /// # Errors
    /// If openraft refuses the configuration or what the stores hold.
    pub async fn build(config: NodeConfig, stores: Stores, fuse: Fuse) -> Result<Self, NodeError> {
        let failed = |cause: &dyn std::fmt::Display| NodeError::Raft { cause: cause.to_string() };
        let Stores { log, state_machine, store } = stores;
        let (cluster, node) = (config.cluster, config.description.node);
        let raft_config = config.timing.raft_config(config.snapshot_after, config.keep_entries);
        let raft_config = Arc::new(raft_config.validate().map_err(|error| failed(&error))?);
        let Environment { dialer, clock } = config.environment.clone();
        let network = Factory {
            cluster,
            timing: config.timing,
            dialer: dialer.clone(),
            store: store.clone(),
        };
        let raft = Raft::new(node, raft_config, network, log.clone(), state_machine).await;
        let raft = raft.map_err(|error| failed(&error))?;

        let space = Arc::new(DiskSpace::default());
        space.floor.store(config.disk_floor, Ordering::Relaxed);
        space.free.store(u64::MAX, Ordering::Relaxed);
        let leader_watch = LeaderWatch::of(&raft);
        let contact = Contact::new(raft.clone());
        let membership = Membership::new(raft.clone(), store.clone(), contact.clone());
        let links = Arc::new(Links::new(cluster, &raft, dialer, config.timing.connect));
        let sequencer =
            Sequencer::start(raft.clone(), store.clone(), fuse.clone(), space.clone(), clock);
        let proposer = Proposer {
            node,
            leader_watch: leader_watch.clone(),
            sequencer: sequencer.clone(),
            links: links.clone(),
            fuse: fuse.clone(),
        };
        let asker = Asker {
            node,
            raft: raft.clone(),
            store: store.clone(),
            leader_watch: leader_watch.clone(),
            links: links.clone(),
        };
        let reader = Reader::start(asker, store.clone(), contact.clone(), &fuse);
        let loads = watch::Sender::default();
        let members = Members {
            cluster,
            node,
            raft: raft.clone(),
            store: store.clone(),
            links: links.clone(),
            leader_watch: leader_watch.clone(),
            contact: contact.clone(),
            membership: membership.clone(),
            unreachable_after: config.timing.unreachable_after(),
            loads: loads.subscribe(),
        };
        let peer = PeerService {
            raft: raft.clone(),
            store: store.clone(),
            sequencer,
            leader_watch: leader_watch.clone(),
            contact,
            membership,
            loads: loads.subscribe(),
        };
        Ok(Self {
            config,
            raft,
            log,
            store,
            proposer,
            reader,
            members,
            peer,
            leader_watch,
            leadership: watch::Sender::default(),
            loads,
            space,
            fuse,
        })
    }

    /// Whether the cluster has its first members, as far as this node's log says.
    ///
    /// # Errors
    /// If Raft has stopped.
    pub async fn is_founded(&self) -> Result<bool, NodeError> {
        let founded = self.raft.is_initialized().await;
        founded.map_err(|error| NodeError::Raft { cause: error.to_string() })
    }

    /// Gives a new cluster its first members. Does nothing where it has them.
    ///
    /// # Errors
    /// If Raft refuses.
    pub async fn found(&self, founders: Founders) -> Result<(), FoundingError> {
        founders.initialize(&self.raft).await
    }

    /// Returns the ports of this node.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports {
            propose: Arc::new(self.proposer.clone()),
            read: Arc::new(self.reader.clone()),
            history: Arc::new(self.store.clone()),
            cluster: Arc::new(self.members.clone()),
            leadership: self.leadership.subscribe(),
            loads: self.loads.clone(),
        }
    }

    /// Answers the other members; to be served on the peer port.
    #[must_use]
    pub fn peer_service(&self) -> CheckedPeerService {
        self.peer.clone().checked(self.config.cluster, self.config.description.node)
    }

    /// Works until `shutdown`, or until the node can no longer be trusted; then stops Raft and closes
    /// the stores.
    ///
    /// # Errors
    /// Why it stopped, if not because of `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), NodeError> {
        let mut tasks = JoinSet::new();
        let leader_tasks = LeaderTasks {
            cluster: self.config.cluster,
            raft: self.raft.clone(),
            store: self.store.clone(),
            proposer: self.proposer.clone(),
            links: self.members.links.clone(),
            membership: self.members.membership.clone(),
            fuse: self.fuse.clone(),
        };
        tasks.spawn(leader_tasks.run());
        tasks.spawn(self.leader_watch.clone().publish(self.leadership.clone()));
        tasks.spawn(watch_disk(self.config.data_directory.clone(), self.space.clone()));
        tasks.spawn(announce(
            self.config.description.clone(),
            self.reader.clone(),
            self.proposer.clone(),
        ));
        tasks.spawn(crate::gauges::run(self.raft.clone(), self.members.contact.clone()));
        let blown = tokio::select! {
            () = shutdown.cancelled() => None,
            cause = self.fuse.blown() => Some(cause),
            () = ended(&self.raft) => Some("Raft ended by itself; its errors are in the log".to_owned()),
            cause = panicked(&mut tasks) => Some(cause),
        };
        if let Some(cause) = &blown {
            // Whatever it was: from here on nothing is acknowledged.
            self.fuse.blow(cause);
        }
        tasks.abort_all();
        // Raft's own tasks end with it; one that panicked has said so.
        let _ = self.raft.shutdown().await;
        if let Some(cause) = blown {
            return Err(NodeError::Fuse { cause });
        }
        // The log first: the derived store writes only what the log holds durably.
        self.log.close().map_err(NodeError::Close)?;
        self.store.close().await.map_err(NodeError::Close)
    }
}

/// Returns once Raft's own task has ended.
async fn ended(raft: &Raft) {
    let mut metrics = raft.server_metrics();
    while metrics.changed().await.is_ok() {}
}

/// Returns once one of the tasks has panicked. Those that are done are done.
async fn panicked(tasks: &mut JoinSet<()>) -> String {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            return "a task of this node panicked; the agent's log has the details".to_owned();
        }
    }
    std::future::pending().await
}

/// Keeps the sequencer told how much room there is.
async fn watch_disk(directory: PathBuf, space: Arc<DiskSpace>) {
    loop {
        match free_bytes(&directory) {
            Ok(free) => {
                metrics::gauge!("meridian_disk_free_bytes").set(free as f64);
                space.free.store(free, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "the free space of the disk cannot be read"),
        }
        tokio::time::sleep(LOOK_AT_DISK).await;
    }
}

/// Tells the cluster, once, where this agent now is and what it supports, if that has changed since it
/// registered. The same description is refused the same way ever after, so a refusal is told once.
async fn announce(description: AgentDescription, reader: Reader, proposer: Proposer) {
    loop {
        let deadline = Instant::now() + ANNOUNCE * 5;
        if reader.read(Consistency::Linearizable, deadline).await.is_ok() {
            let registered =
                reader.state().agents.get(&description.name).map(|agent| agent.description.clone());
            let (command, requester) =
                (Command::RegisterAgent(description.clone()), Requester::System);
            match registered {
                Some(known) if known == description => return,
                Some(known) if known.node == description.node => {
                    let proposal = Proposal { command, requester, deadline };
                    match proposer.propose(proposal).await.map(|receipt| receipt.verdict) {
                        Ok(Verdict::Accepted) => {}
                        Ok(Verdict::Rejected(rejections)) => {
                            let rejections: Vec<_> =
                                rejections.iter().map(ToString::to_string).collect();
                            tracing::error!(
                                rejections = rejections.join("; "),
                                "the cluster refuses what this agent now says of itself; remove the \
                                 agent and join it as a new one, or put the configuration back"
                            );
                            return;
                        }
                        Err(error) => {
                            tracing::info!(%error, "this agent's addresses are announced again");
                        }
                    }
                }
                // Not registered yet, or no longer: neither is changed from here.
                Some(_) | None => {}
            }
        }
        tokio::time::sleep(ANNOUNCE).await;
    }
}
