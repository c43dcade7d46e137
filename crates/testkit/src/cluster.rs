//! Several nodes in one process.

mod bootstrap;
mod hanging_journal;
mod node;
mod options;

use std::time::Duration;

use anyhow::Context;
use meridian_domain::agent::Address;
use meridian_domain::{Actor, ClusterId, Command, RequestId, Revision};
pub use meridian_ports::Ports;
use meridian_ports::{Consistency, Proposal, ProposeError, Receipt, Requester, Role};
use meridian_replication::bootstrap::InitialMembers;
use meridian_transport::Dialer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

pub use hanging_journal::SyncHold;
pub use node::TestNode;
pub use options::Options;

use crate::wait::until;
use bootstrap::BootstrapNode;

/// Timeout of one request in a test that expects it to succeed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A cluster on loopback, in temporary directories.
pub struct Cluster {
    root: TempDir,
    options: Options,
    cluster: ClusterId,
    /// All nodes, including stopped ones.
    pub nodes: Vec<TestNode>,
}

impl Cluster {
    /// Bootstraps a cluster with one agent in each of the regions.
    pub async fn bootstrap(regions: &[&str], options: Options) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        let mut listeners = Vec::new();
        let mut nodes = Vec::new();
        for (index, region) in regions.iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            nodes.push(TestNode::new(root.path(), index, region, listener.local_addr()?)?);
            listeners.push(listener);
        }
        let addresses: Vec<Address> =
            nodes.iter().map(|node| node.description.peer_address.clone()).collect();
        let mut cluster =
            Self { root, options, cluster: ClusterId(Uuid::nil()), nodes: Vec::new() };
        let mut meeting = Vec::new();
        for (node, listener) in nodes.iter().zip(listeners) {
            meeting.push(BootstrapNode::listen(node.description.clone(), listener)?);
        }
        let first = &nodes[0].description;
        let initial_members =
            InitialMembers::gather(&meeting[0].lobby, &Dialer::default(), first.node, &addresses)
                .await?;
        cluster.cluster = initial_members.cluster();
        let mut initial_members = Some(initial_members);
        for (mut node, waiting) in nodes.into_iter().zip(meeting) {
            let listener = waiting.admitted().await?;
            node.start(cluster.cluster, &cluster.options, listener, initial_members.take()).await?;
            cluster.nodes.push(node);
        }
        cluster.bootstrapped().await;
        Ok(cluster)
    }

    async fn bootstrapped(&self) {
        until("the cluster to bootstrap", || async {
            let ports = self.nodes[0].ports();
            let read =
                ports.read.read(Consistency::Linearizable, Instant::now() + REQUEST_TIMEOUT).await;
            (read.is_ok() && ports.read.state().header.cluster.is_some()).then_some(())
        })
        .await;
    }

    /// Registers and starts a new agent in `region`, and returns its index.
    pub async fn join(&mut self, region: &str) -> anyhow::Result<usize> {
        let index = self.nodes.len();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut node = TestNode::new(self.root.path(), index, region, listener.local_addr()?)?;
        let command = Command::RegisterAgent(node.description.clone());
        self.propose(0, command).await.context("cannot register the agent")?;
        node.start(self.cluster, &self.options, listener.into_std()?, None).await?;
        self.nodes.push(node);
        Ok(index)
    }

    /// Submits a change to node `index` as an operator, with a new request id.
    ///
    /// # Errors
    /// The errors of the propose port.
    pub async fn propose(&self, index: usize, command: Command) -> Result<Receipt, ProposeError> {
        self.propose_as(index, command, new_request()).await
    }

    /// Submits a change to node `index` as an operator, with the given request id.
    ///
    /// # Errors
    /// The errors of the propose port.
    pub async fn propose_as(
        &self,
        index: usize,
        command: Command,
        request: RequestId,
    ) -> Result<Receipt, ProposeError> {
        let actor = Actor::new("test").expect("a valid actor");
        let requester = Requester::Operator { request, actor, reason: None };
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        self.nodes[index].ports().propose.propose(Proposal { command, requester, deadline }).await
    }

    /// Shuts down a node gracefully.
    pub async fn stop(&mut self, index: usize) -> anyhow::Result<()> {
        self.nodes[index].stop().await
    }

    /// Restarts a stopped node with its data directory and port.
    pub async fn restart(&mut self, index: usize) -> anyhow::Result<()> {
        let (cluster, options) = (self.cluster, self.options.clone());
        let node = &mut self.nodes[index];
        let address = node.description.peer_address.to_string();
        let listener =
            until("the port to be free", || async { TcpListener::bind(&address).await.ok() }).await;
        node.start(cluster, &options, listener.into_std()?, None).await
    }

    /// Restarts a stopped node with its data directory on another port.
    pub async fn restart_elsewhere(&mut self, index: usize) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = Address::new(listener.local_addr()?.to_string())?;
        let (cluster, options) = (self.cluster, self.options.clone());
        let node = &mut self.nodes[index];
        node.description.peer_address = address;
        node.start(cluster, &options, listener.into_std()?, None).await
    }

    /// Starts a second node on a copy of the data directory of a stopped one, on another port. It is
    /// not one of [`nodes`](Self::nodes).
    pub async fn start_copy(&self, index: usize) -> anyhow::Result<TestNode> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = Address::new(listener.local_addr()?.to_string())?;
        let mut copy = self.nodes[index].copy(&self.root.path().join("copy"), address)?;
        copy.start(self.cluster, &self.options, listener.into_std()?, None).await?;
        Ok(copy)
    }

    /// Sets the disk floor of the nodes that are started from now on, in bytes.
    pub fn set_disk_floor(&mut self, bytes: u64) {
        self.options.disk_floor = bytes;
    }

    /// Waits until the running nodes agree on a leader, and returns its index.
    pub async fn leader(&self) -> usize {
        until("a leader", || async {
            let running = self.running();
            let leader = running.first()?.1.leadership.borrow().leader()?;
            let agreed =
                running.iter().all(|(_, ports)| ports.leadership.borrow().leader() == Some(leader));
            let index = running.iter().find(|(_, ports)| ports.cluster.node() == leader)?.0;
            agreed.then_some(index)
        })
        .await
    }

    /// Waits until all running nodes have the same revision, event chain and state, and returns
    /// that revision.
    pub async fn converged(&self) -> Revision {
        until("all nodes to converge", || async {
            let running = self.running();
            let deadline = Instant::now() + REQUEST_TIMEOUT;
            let mut positions = Vec::new();
            for (_, ports) in &running {
                ports.read.read(Consistency::Linearizable, deadline).await.ok()?;
                let own = ports.cluster.node();
                let statuses = ports.cluster.agents(deadline).await;
                let name = {
                    let state = ports.read.state();
                    state
                        .agents
                        .values()
                        .find(|a| a.description.node == own)?
                        .description
                        .name
                        .clone()
                };
                let status = statuses.into_iter().find(|status| status.agent == name)?;
                positions.push((status.position?, ports.history.chain()));
            }
            let first = positions.first()?;
            positions.iter().all(|position| position == first).then_some(first.0.revision)
        })
        .await
    }

    /// Waits until there are `count` voters and one of them leads.
    pub async fn voters(&self, count: usize) {
        until("the expected number of voters", || async {
            let (_, ports) = self.running().into_iter().next()?;
            let members = ports.cluster.members(Instant::now() + REQUEST_TIMEOUT).await;
            let voters = members.iter().filter(|member| member.voter).count();
            let one_leads = members.iter().any(|member| member.role == Role::Leader);
            (voters == count && one_leads).then_some(())
        })
        .await;
    }

    /// Returns the running nodes with their indexes.
    #[must_use]
    pub fn running(&self) -> Vec<(usize, &Ports)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(index, node)| Some((index, node.running()?))).collect()
    }
}

/// Generates a request id as a client does.
#[must_use]
pub fn new_request() -> RequestId {
    Uuid::now_v7().try_into().expect("a UUID of version 7")
}
