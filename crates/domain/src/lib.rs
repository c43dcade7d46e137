//! The rules of Meridian, as pure functions: what a service, a location and a unit are, which
//! changes are allowed, and what each event does to the state.
//!
//! ```text
//! decide(state, command) -> events | rejections        may refuse, changes nothing
//! evolve(state, revision, event)                   never refuses, changes only the state
//! ```
//!
//! Two nodes that hold the same entries hold the same [`State`], byte for byte. So this crate must
//! not know a clock, a network, a disk, randomness or a hash map: time and ids are values in what
//! it is given ([`Entry`]), put there once by the leader's sequencer.
//!
//! The order of the variants of every stored enum is part of the stored format: variants are only
//! ever appended, and each later one says since which [`DataVersion`] it exists.
//!
//! Start with [`command`] and [`event`], then [`mod@decide`] and [`evolve`], then [`placement`].

#![warn(clippy::wildcard_enum_match_arm)]

pub mod agent;
pub mod api;
pub mod catalogue;
pub mod command;
pub mod configuration;
pub mod decide;
pub mod electorate;
pub mod entry;
pub mod event;
pub mod evolve;
pub mod id;
pub mod limits;
pub mod name;
pub mod nearest;
pub mod outcome;
pub mod placement;
pub mod rejection;
pub mod report;
pub mod service;
pub mod state;
pub mod tier;
pub mod unit;

pub use agent::{Address, Agent, AgentDescription};
pub use api::{Api, ApiPath, BackendUrl};
pub use catalogue::Region;
pub use command::{Command, Edit};
pub use configuration::Configuration;
pub use decide::decide;
pub use entry::{Change, Entry, EventRecord, Origin, Verdict};
pub use event::Event;
pub use id::{
    ClusterId, DataVersion, Digest, Generation, Incarnation, NodeId, RequestId, Revision, Sequence,
    Timestamp, UnitId, Zone, Zones,
};
pub use name::{Actor, AgentName, ApiName, NameError, Reason, RegionName, ServiceName};
pub use rejection::Rejection;
pub use service::{Location, Service};
pub use state::State;
pub use tier::Tier;
pub use unit::{Unit, UnitPhase};
