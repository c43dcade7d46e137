//! The API of a cluster for people and scripts: gRPC services over the ports.
//!
//! A method validates its message, uses a port and maps the result once. The contract in
//! `proto/meridian/v1/admin.proto` documents the methods. This crate must not depend on how the log
//! is replicated or stored: that is behind [`Ports`]. It does not decide either: the status of a
//! cluster is computed by [`meridian_domain::status`] from what [`meridian_ports::observe`] gathers, and
//! [`meridian_wording`] turns the result into sentences.
//!
//! Start with [`Server`], then `change` (every write) and `events` (the watch). `error` is the only
//! place where errors become gRPC statuses.

#![warn(clippy::wildcard_enum_match_arm)]

mod change;
mod cluster;
mod convert;
mod deadline;
mod error;
mod events;
mod metrics;
mod read;
mod routing;
mod rpc;
mod server;
mod services;

use meridian_ports::Ports;

pub use metrics::describe_metrics;
pub use server::{BuildError, Config, ServeError, Server, refuse_requests};
