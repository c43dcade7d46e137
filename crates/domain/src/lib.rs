//! Domain model of Meridian as pure functions: services, locations, units and agents, the rules for
//! changing them, and the effect of each event on the state.
//!
//! ```text
//! decide(state, command) -> events | rejections    may reject, changes nothing
//! evolve(state, revision, event)                   never rejects, changes only the state
//! ```
//!
//! Nodes that have applied the same entries have the same [`State`], byte for byte. So this crate
//! must not use clocks, the network, disks, randomness or hash maps. Time and ids are part of its
//! input ([`Entry`]), where the sequencer of the leader puts them once.
//!
//! The order of the variants of every stored enum is part of the stored format: variants are only
//! appended, and each later one documents the [`DataVersion`] that introduced it.
//!
//! Start with [`command`] and [`event`], then [`mod@decide`] and [`evolve`], then [`placement`] and
//! [`routing`].

#![warn(clippy::wildcard_enum_match_arm)]

pub mod agent;
pub mod api;
pub mod catalog;
pub mod command;
pub mod configuration;
pub mod decide;
pub mod dns;
pub mod entry;
pub mod event;
pub mod evolve;
pub mod id;
pub mod limits;
pub mod loss;
pub mod name;
pub mod name_servers;
pub mod nearest;
pub mod network;
pub mod outcome;
pub mod placement;
pub mod reachability;
pub mod rejection;
pub mod report;
pub mod round_trip;
pub mod routing;
pub mod routing_policy;
pub mod service;
pub mod state;
pub mod status;
pub mod tier;
pub mod unit;
pub mod unknown;
pub mod voter_selection;
pub mod when_disabled;

pub use agent::{Address, Agent, AgentDescription};
pub use api::{Api, ApiPath, BackendUrl};
pub use catalog::Region;
pub use command::{Command, Edit};
pub use configuration::Configuration;
pub use decide::decide;
pub use dns::{DnsSettings, DnsZone};
pub use entry::{Change, Entry, EventRecord, Origin, Verdict};
pub use event::{Event, EventType};
pub use id::{
    ClusterId, DataVersion, Digest, Epoch, Generation, Incarnation, NodeId, RequestId, Revision,
    Sequence, Timestamp, UnitId, Zone, Zones,
};
pub use name::{Actor, AgentName, ApiName, NameError, Reason, RegionName, ServiceName};
pub use network::Network;
pub use rejection::Rejection;
pub use routing_policy::{Preference, RoutingPolicy};
pub use service::{Location, Service};
pub use state::State;
pub use tier::Tier;
pub use unit::{RefusedConfiguration, Unit, UnitPhase};
pub use when_disabled::WhenDisabled;
