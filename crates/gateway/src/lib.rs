//! The unit: one gateway process worth of capacity.
//!
//! An agent starts a unit with the service's listening socket as its standard input, or passes that
//! socket to it over a Unix socket if the unit runs in a container. The agent then configures the
//! unit over its control socket. From then on the unit is independent: it forwards requests to the
//! backends of its service's APIs, and it obeys its control socket (`meridian.v1`, `control.proto`)
//! and SIGTERM, even after its agent died. It must not know the log, placement, or any other unit.
//! It never decides to stop, with one exception: it drains if its lock file was deleted or its run
//! directory was replaced by another one, because no agent can reach it anymore.
//!
//! Files in the run directory, named after the unit's incarnation:
//!
//! | file | written by | purpose |
//! | --- | --- | --- |
//! | `u7.json` | the agent, before the spawn | reason why the unit runs; locked by the unit |
//! | `u7.sock` | the unit | the control socket |
//! | `u7.log` | the unit | its standard output and error |
//!
//! Start with [`run`], then [`Unit`]. The drain is in `serve`, the path of a request in `request`,
//! `forward` and `backends`, the control socket in `control`.

mod access_log;
mod backends;
mod client_connection;
mod config;
mod configuration;
mod control;
mod fd_passing;
mod forward;
mod limits;
mod load;
mod lock;
mod metrics;
mod problem;
mod process;
mod redirect;
mod request;
mod request_record;
mod serve;
mod shared;
mod status;
mod unit;
mod via_header;
mod worker;
mod worker_pool;
mod worker_thread;

pub use config::{ArgumentError, DrainTimeouts, ListenerSource, UnitConfig};
pub use lock::LockError;
pub use process::{RunError, inherited_listener, run, terminated};
pub use unit::{BuildError, Unit};
