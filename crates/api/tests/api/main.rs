//! End-to-end tests of the API: a real client over a real socket. Behind the ports is one in-memory
//! node that decides and applies like a cluster.

mod apis;
mod changes;
mod cluster;
mod connections;
mod disks;
mod fake;
mod harness;
mod lists;
mod refusals;
mod routing;
mod script;
mod warnings;
mod watching;
