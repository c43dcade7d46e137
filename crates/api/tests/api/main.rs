//! The API end to end: a real client over a real socket, and behind the ports one node in memory that
//! decides and applies as a cluster does.

mod apis;
mod changes;
mod cluster;
mod connections;
mod fake;
mod harness;
mod lists;
mod refusals;
mod watching;
