//! Clusters of real processes: the binary as people run it, on addresses and in directories that a
//! test has for itself.
//!
//! ```text
//! Sandbox            a directory, loopback addresses 127.x.y.1 and up, and an end for all within
//!   Dev              a running `meridian dev`
//!   Network          what lies between agents, and what befalls what they send each other
//!   Agent            a place for an agent: starts it, kills it, asks it, finds its units in /proc
//!     Disk, Machine  a small disk of its own (root), and one that is slow or fails, and its clock
//!     Units, Process   what runs, found by directory and held by descriptor, never by number alone
//! ```
//!
//! A process is a sandbox's if it is the binary under test and works on the sandbox's directory.
//! Those are killed when the sandbox is dropped, also by a panic, and no others ever. A test
//! program that is killed itself leaves them behind.

mod addresses;
mod agent;
mod binary;
mod cli;
mod dev;
mod disk;
mod http;
mod machine;
pub mod network;
mod running;
mod sandbox;

pub use agent::Agent;
pub use binary::binary;
pub use cli::{Output, run};
pub use dev::Dev;
pub use disk::Disk;
pub use http::{Answer, get};
pub use machine::Machine;
pub use running::{Process, UnitProcess};
pub use sandbox::Sandbox;

/// The ports of every agent, which has an address to itself.
pub mod port {
    /// For clients.
    pub const CLIENT: u16 = 7400;
    /// For other agents.
    pub const PEER: u16 = 7401;
    /// For health and metrics.
    pub const HTTP: u16 = 7480;
}
