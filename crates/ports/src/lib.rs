//! Ports: what the API and the agent may ask of the replicated log without knowing how it is
//! replicated.
//!
//! | port | asks for |
//! | --- | --- |
//! | [`Propose`] | a change |
//! | [`Read`] | the state |
//! | [`History`] | the events |
//! | [`Cluster`] | the members, their progress, and operations on them |
//! | [`Reachability`] | votes on the reachability of gateways |
//! | [`Leadership`] | the leader, as a watch |
//! | [`NameServer`] | the region of a client, and the name server of the agent |
//!
//! [`observe`] gathers what several of them know for [`meridian_domain::status`].
//!
//! `meridian-replication`, `meridian-storage` and `meridian-steering` implement them, `meridian` wires
//! them, tests fake them. This crate must not know openraft, gRPC or a file.

use std::sync::Arc;

use tokio::sync::watch;

mod cluster;
mod history;
mod leadership;
mod name_server;
pub mod observe;
mod propose;
mod reachability;
mod read;

pub use cluster::{Cluster, ClusterError, Readdressed};
pub use history::{History, HistoryError};
pub use leadership::Leadership;
pub use name_server::{Located, LocationSource, NameServer};
pub use propose::{Proposal, Propose, ProposeError, Receipt, Requester};
pub use reachability::{LocalView, NoLeaderResponse, ProbeReport, Reachability};
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
    /// Reports the probes of this agent, and knows the votes.
    pub reachability: Arc<dyn Reachability>,
    /// The leader that this node knows.
    pub leadership: watch::Receiver<Leadership>,
    /// Loads of this agent's units, published by the agent for requests to this node.
    pub loads: watch::Sender<UnitLoads>,
    /// Gateways that this agent fails to reach, published by the agent while the leader is silent.
    pub local_view: watch::Sender<LocalView>,
    /// Settings of this agent that are to be equal on all agents. Its components publish those that
    /// the node does not know.
    pub settings: watch::Sender<SharedSettings>,
}
