//! Clusters of real processes: the released binary, on addresses and in directories private to a
//! test.
//!
//! ```text
//! Sandbox            a directory and loopback addresses; kills all processes within when dropped
//!   Dev              a running `meridian dev`
//!   Network          the network between agents, with injected faults
//!   Agent            an agent: starts, kills and queries it, finds its units in /proc
//!     Disk, Machine  a small dedicated disk (root); a slow or failing disk and a shifted clock
//!     UnitProcess, Process   running processes, found by directory and held by pidfd, never by pid alone
//!       Usage                descriptors, threads and memory of a process
//! ```
//!
//! A process belongs to a sandbox if it runs the binary under test and works on the sandbox's
//! directory. All of these, and no others, are killed when the sandbox is dropped, including on a
//! panic. A test program that is killed leaves them behind.

mod addresses;
mod agent;
mod binary;
mod cli;
mod copy;
mod dev;
mod disk;
mod http;
mod machine;
pub mod network;
mod running;
mod sandbox;
mod usage;

pub use agent::Agent;
pub use binary::binary;
pub use cli::{Output, run};
pub use copy::copy_directory;
pub use dev::Dev;
pub use disk::Disk;
pub use http::{Response, get};
pub use machine::Machine;
pub use running::{Process, UnitProcess};
pub use sandbox::Sandbox;
pub use usage::Usage;

/// Ports of every agent; each agent has its own address.
pub mod port {
    /// Client API.
    pub const CLIENT: u16 = 7400;
    /// Peer API.
    pub const PEER: u16 = 7401;
    /// Peer API of an agent that has moved.
    pub const MOVED_PEER: u16 = 7411;
    /// Name server.
    pub const DNS: u16 = 7453;
    /// Health and metrics.
    pub const HTTP: u16 = 7480;
}
