//! Ports: what the API and the agent may ask of the replicated log without knowing how it is
//! replicated.
//!
//! | port | asks for |
//! | --- | --- |
//! | [`Propose`] | a change |
//! | [`Read`] | the state |
//! | [`History`] | the events |
//! | [`Cluster`] | the members, their progress, and operations on them |
//! | [`Leadership`] | the leader, as a watch |
//!
//! `meridian-replication` and `meridian-storage` implement them, `meridian` wires them, tests fake
//! them. This crate must not know openraft, gRPC or a file.

use std::sync::Arc;

use tokio::sync::watch;

mod cluster;
mod history;
mod leadership;
mod propose;
mod read;

pub use cluster::{Cluster, ClusterError, Readdressed};
pub use history::{History, HistoryError};
pub use leadership::Leadership;
pub use propose::{Proposal, Propose, ProposeError, Receipt, Requester};
pub use read::{Consistency, Read, ReadError, ReadPoint};

pub use meridian_domain::status::{
    AgentResponse, DiskSpace, LastContact, MedianRoundTrips, Member, MemberChange, Next, Pending,
    Progress, Role, SharedSetting, SharedSettings, UnitLoad, UnitLoads, WaitsFor,
};

/// All ports of a node. Cheap to clone; clones share the node.
#[derive(Clone)]
pub struct Ports {
    /// Submits changes.
    pub propose: Arc<dyn Propose>,
    /// Reads the state.
    pub read: Arc<dyn Read>,
    /// Reads the event log.
    pub history: Arc<dyn History>,
    /// Knows and changes the members.
    pub cluster: Arc<dyn Cluster>,
    /// The leader that this node knows.
    pub leadership: watch::Receiver<Leadership>,
    /// Loads of this agent's units, published by the agent for requests to this node.
    pub loads: watch::Sender<UnitLoads>,
}
