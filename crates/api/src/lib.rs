//! What people and scripts ask of a cluster, as gRPC services over the ports.
//!
//! A method validates its message, calls a port and maps the answer once; the contracts in
//! `proto/meridian/v1/admin.proto` say what each of them means. Nothing here may know how the log is
//! replicated or stored: that is behind [`Ports`].
//!
//! Start with [`Server`], then `change` (every write) and `events` (the watch). `error` is the one
//! place where rejections become gRPC statuses.

mod call;
mod change;
mod cluster;
mod deadline;
mod error;
mod events;
mod metrics;
mod reading;
mod server;
mod services;

use meridian_ports::Ports;

pub use metrics::describe_metrics;
pub use server::{BuildError, Config, ServeError, Server};
