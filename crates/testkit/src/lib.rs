//! Clusters for tests: real nodes on real disks and sockets. Shipped with nothing.
//!
//! [`cluster::Cluster`] runs several nodes in one process, each with its own data directory and its
//! own loopback port, through the same code that the binary composes. [`process`] runs the binary
//! itself: agents, units and the command line as processes of their own. What such processes did under
//! faults is recorded as a [`history`], and judged by [`mod@check`].

pub mod check;
pub mod cluster;
pub mod history;
pub mod process;
pub mod wait;
