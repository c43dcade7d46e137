//! A name server on real sockets, beside a cluster state in memory.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod changes;
mod client;
mod cluster;
mod database;
mod hosts;
mod location;
mod malformed;
mod names;
mod reflection;
mod scale;
mod server;
mod transport;
