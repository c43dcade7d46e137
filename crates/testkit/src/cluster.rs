//! Several nodes in one process.

mod founder;
mod node;
mod options;

use std::time::Duration;

use anyhow::Context;
use meridian_domain::agent::Address;
use meridian_domain::{Actor, ClusterId, Command, RequestId, Revision};
pub use meridian_ports::Ports;
use meridian_ports::{Consistency, Proposal, ProposeError, Receipt, Requester, Role};
use meridian_replication::founding::Founders;
use meridian_transport::Dialer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

pub use node::TestNode;
pub use options::Options;

use crate::wait::until;
use founder::Founder;

/// How long one call may take in a test that expects it to succeed.
const CALL: Duration = Duration::from_secs(20);

/// A cluster on loopback, in temporary directories.
pub struct Cluster {
    root: TempDir,
    options: Options,
    cluster: ClusterId,
    /// The nodes, stopped ones too.
    pub nodes: Vec<TestNode>,
}

impl Cluster {
    /// Founds a cluster with one agent in each of the regions.
    pub async fn found(regions: &[&str], options: Options) -> anyhow::Result<Self> {
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
            meeting.push(Founder::meet(node.description.clone(), listener)?);
        }
        let first = &nodes[0].description;
        let founders =
            Founders::gather(&meeting[0].lobby, &Dialer::default(), first.node, &addresses).await?;
        cluster.cluster = founders.cluster();
        let mut founders = Some(founders);
        for (mut node, founder) in nodes.into_iter().zip(meeting) {
            let listener = founder.leave().await?;
            node.start(cluster.cluster, &cluster.options, listener, founders.take()).await?;
            cluster.nodes.push(node);
        }
        cluster.founded().await;
        Ok(cluster)
    }

    async fn founded(&self) {
        until("the founding of the cluster", || async {
            let ports = self.nodes[0].ports();
            let read = ports.read.read(Consistency::Linearizable, Instant::now() + CALL).await;
            (read.is_ok() && ports.read.state().header.cluster.is_some()).then_some(())
        })
        .await;
    }

    /// Adds an agent in `region` to the running cluster, and returns its index.
    pub async fn join(&mut self, region: &str) -> anyhow::Result<usize> {
        let index = self.nodes.len();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut node = TestNode::new(self.root.path(), index, region, listener.local_addr()?)?;
        let command = Command::RegisterAgent(node.description.clone());
        self.propose(0, command).await.context("the agent could not register")?;
        node.start(self.cluster, &self.options, listener.into_std()?, None).await?;
        self.nodes.push(node);
        Ok(index)
    }

    /// Asks node `index` for a change, as an operator with a new request id.
    ///
    /// # Errors
    /// As the port's.
    pub async fn propose(&self, index: usize, command: Command) -> Result<Receipt, ProposeError> {
        self.propose_as(index, command, new_request()).await
    }

    /// The same, under a given request id.
    ///
    /// # Errors
    /// As the port's.
    pub async fn propose_as(
        &self,
        index: usize,
        command: Command,
        request: RequestId,
    ) -> Result<Receipt, ProposeError> {
        let actor = Actor::new("test").expect("is an actor");
        let requester = Requester::Operator { request, actor, reason: None };
        let deadline = Instant::now() + CALL;
        self.nodes[index].ports().propose.propose(Proposal { command, requester, deadline }).await
    }

    /// Stops a node in good order.
    pub async fn stop(&mut self, index: usize) -> anyhow::Result<()> {
        self.nodes[index].stop().await
    }

    /// Starts a stopped node again, on the disk and the port that it had.
    pub async fn restart(&mut self, index: usize) -> anyhow::Result<()> {
        let (cluster, options) = (self.cluster, self.options.clone());
        let node = &mut self.nodes[index];
        let address = node.description.peer_address.to_string();
        let listener =
            until("the port to be free", || async { TcpListener::bind(&address).await.ok() }).await;
        node.start(cluster, &options, listener.into_std()?, None).await
    }

    /// Sets the bytes that must stay free on the disks of the nodes that are started from now on.
    pub fn set_disk_floor(&mut self, bytes: u64) {
        self.options.disk_floor = bytes;
    }

    /// The index of the node that leads, once the running ones agree on it.
    pub async fn leader(&self) -> usize {
        until("a leader", || async {
            let running = self.running();
            let leader = running.first()?.1.cluster.leader()?;
            let agreed = running.iter().all(|(_, ports)| ports.cluster.leader() == Some(leader));
            let index = running.iter().find(|(_, ports)| ports.cluster.node() == leader)?.0;
            agreed.then_some(index)
        })
        .await
    }

    /// Returns once all running nodes have the same revision, chain and state, and returns the
    /// revision.
    pub async fn agreement(&self) -> Revision {
        until("all nodes to have the same events and state", || async {
            let running = self.running();
            let deadline = Instant::now() + CALL;
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

    /// Returns once `count` members vote.
    pub async fn voters(&self, count: usize) {
        until("the voters", || async {
            let (_, ports) = self.running().into_iter().next()?;
            let members = ports.cluster.members(Instant::now() + CALL).await;
            let voters = members.iter().filter(|member| member.voter).count();
            let one_leads = members.iter().any(|member| member.role == Role::Leader);
            (voters == count && one_leads).then_some(())
        })
        .await;
    }

    /// The running nodes, with their indexes.
    #[must_use]
    pub fn running(&self) -> Vec<(usize, &Ports)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(index, node)| Some((index, node.running()?))).collect()
    }
}

/// A request id as a client makes it.
#[must_use]
pub fn new_request() -> RequestId {
    Uuid::now_v7().try_into().expect("is version 7")
}
