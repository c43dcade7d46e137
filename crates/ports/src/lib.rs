//! The seams between the rooms, as the README numbers them: what the API and the agent may ask of the
//! replicated log, without knowing how it is replicated.
//!
//! | port | asks |
//! | --- | --- |
//! | [`Propose`] | that something happen |
//! | [`Read`] | what is so |
//! | [`History`] | what happened |
//! | [`Cluster`] | who keeps the log, and how they are |
//!
//! `meridian-replication` provides all of them, `meridian` wires them, tests fake them. Nothing here
//! may know openraft, gRPC or a file.

mod cluster;
mod history;
mod loads;
mod propose;
mod read;

pub use cluster::{
    AgentStatus, Cluster, ClusterError, LastContact, Member, MemberChange, Next, Pending, Progress,
    Role, WaitsFor,
};
pub use history::{History, HistoryError};
pub use loads::{UnitLoad, UnitLoads};
pub use propose::{Proposal, Propose, ProposeError, Receipt, Requester};
pub use read::{Consistency, Read, ReadError, ReadPoint};
