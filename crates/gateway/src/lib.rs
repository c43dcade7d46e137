//! The unit: one gateway process worth of capacity.
//!
//! An agent starts a unit with the service's listening socket as its standard input, or hands it that
//! socket over where the unit is in a container, and tells it by its control socket what to serve. From
//! then on the unit is on its own: it forwards calls to the backends of its service's APIs, and it obeys
//! its control socket (`meridian.v1`, `control.proto`) and SIGTERM, also after its agent died. It must
//! not know the log, placement, or any other unit, and it never decides to stop, but for one case: when
//! its lock file was deleted, or an agent has begun anew where its run directory was, nothing could
//! reach it any more, so it drains by itself.
//!
//! In the run directory, all names after the unit's incarnation:
//!
//! | file | who writes it | what for |
//! | --- | --- | --- |
//! | `u7.json` | the agent, before it spawns the unit | why the unit runs; the unit holds its lock |
//! | `u7.sock` | the unit | the control socket |
//! | `u7.log` | the unit | its standard output and error |
//!
//! Start with [`run`], then [`Unit`]; the drain is in `serve`, the way of a call in `call`, `forward`
//! and `backends`, the control socket in `control`.

mod access_log;
mod account;
mod backends;
mod call;
mod caller;
mod config;
mod configuration;
mod control;
mod crew;
mod forward;
mod handed;
mod limits;
mod load;
mod lock;
mod metrics;
mod problem;
mod process;
mod runtime;
mod serve;
mod shared;
mod status;
mod unit;
mod via;
mod worker;

pub use config::{ArgumentError, ListenerSource, Patience, UnitConfig};
pub use lock::LockError;
pub use process::{RunError, inherited_listener, run, terminated};
pub use unit::{BuildError, Unit};
