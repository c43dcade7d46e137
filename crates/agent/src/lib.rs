//! The agent: keeps the units of one machine as the log says.
//!
//! ```text
//! observe    the driver's units, and the set that the log wants, once it is durable here
//! diff       pure: what to start, what to stop, and what to report
//! act        through the driver, in the background
//! report     the whole table, if it says anything that the log does not
//! ```
//!
//! Must not know how the log is replicated (it meets it through `meridian-ports`), nor what a unit
//! is inside: it starts one as a program and talks to its control socket.
//!
//! Start with [`reconcile`], the loop; then its private modules in the order above, and `desired` and
//! `backoff`, which they share. [`driver`] is what starts and stops units.

pub mod driver;
pub mod generation;
pub mod keep;
pub mod reconcile;

mod act;
mod backoff;
mod desired;
mod diff;
mod durable;
mod jitter;
mod metrics;
mod observe;
mod planted;
mod report;
mod standing;

pub use metrics::describe_metrics;
pub use planted::{Bug, PLANTED_BUGS};
pub use reconcile::{Ended, Reconciler, ReconcilerConfig};
