//! Status of a unit, a location, an agent and the cluster, as data: pure functions of the [`State`]
//! and of [`Observations`].
//!
//! The log records what was declared and what agents reported. It does not record which agents are
//! reachable, because that changes without an event and differs between observers. Such facts are
//! [`Observations`]: values that name their observer and carry times as ages, so this module needs
//! no clock.
//!
//! ```text
//! agent(state, observations, agent)       -> AgentCondition       reachable or not
//! unit(state, observations, unit)         -> UnitCondition        its last report, or unknown
//! location(state, observations, ...)      -> LocationStatus       capacity, and what blocks it
//! cluster(state, observations)            -> ClusterStatus        everything wrong, worst first
//! impact::of_edits(state, ...)            -> Impact               what a change leaves pending
//! ```
//!
//! Reasons are enums with names and numbers. Sentences are written where they are shown.

mod agent;
mod cluster;
mod condition;
pub mod impact;
mod location;
mod member;
mod observations;
mod settings;
mod unit;

#[cfg(doc)]
use crate::State;

pub use agent::{AgentCondition, agent, agent_of};
pub use cluster::{ClusterStatus, Health, cluster};
pub use condition::{Condition, Severity};
pub use location::{
    Blocked, GatewayAddress, LocationCondition, LocationStatus, location, removed_regions,
};
pub use member::{
    LastContact, Member, MemberChange, Next, Pending, PendingMember, Role, WaitsFor, pending_member,
};
pub use observations::{
    AgentResponse, DiskSpace, MedianRoundTrips, Observations, Progress, Silence, Source, UnitLoad,
    UnitLoads,
};
pub use settings::{SharedSetting, SharedSettings};
pub use unit::{UnitCondition, unit};
