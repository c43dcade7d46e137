//! Test clusters of real nodes on real disks and sockets. Not part of any release artifact.
//!
//! [`cluster::Cluster`] runs several nodes in one process, each with its own data directory and
//! loopback port, through the same code that the binary composes. [`process`] runs the binary
//! itself: agents, units and the command line as separate processes. A run under faults is recorded
//! as a [`history`] and verified by [`mod@check`].

pub mod check;
pub mod cluster;
pub mod history;
pub mod process;
pub mod wait;
