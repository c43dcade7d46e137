//! The agent: converges the units of one machine to the log.
//!
//! ```text
//! observe    list the driver's units; read the desired set from the log once it is durable here
//! diff       pure: compute what to start, what to stop, and what to report
//! act        execute the actions on the driver, in the background
//! report     send the unit table, if it differs from the log
//! ```
//!
//! This crate does not know how the log is replicated (it uses the traits of `meridian-ports`), nor
//! what happens inside a unit: it starts a unit as a program and talks to its control socket.
//!
//! [`round_trips`] measures the distance to other regions, for routing.
//!
//! Start reading at [`reconcile`], the loop. Then read its private modules in the order above, and
//! `desired` and `backoff`, which they share. [`driver`] starts and stops units. [`probing`] finds out
//! whether the units of other agents are reachable, and shares nothing with the rest.

pub mod desired_store;
pub mod driver;
pub mod generation;
pub mod probing;
pub mod reconcile;
pub mod round_trips;

mod act;
mod backoff;
mod checked_file;
mod desired;
mod diff;
mod jitter;
mod lingering;
mod metrics;
mod observe;
mod planted;
mod quorum_check;
mod report;
mod store_attempts;

pub use metrics::describe_metrics;
pub use planted::{Bug, PLANTED_BUGS};
pub use probing::{Prober, ProberConfig};
pub use reconcile::{Ended, Reconciler, ReconcilerConfig};
