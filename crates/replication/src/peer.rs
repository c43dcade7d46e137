//! Between agents: what they ask of each other, over gRPC on the peer port.
//!
//! | module | is |
//! | --- | --- |
//! | `identity` | who calls whom, checked on every call |
//! | `message`, `wire` | what is said, as bytes |
//! | `connection` | one connection to another member |
//! | `links` | connections for forwarded commands and reads |
//! | `proposals` | forwarded commands, all of a connection as one stream |
//! | `network` | openraft's connections: appends, votes, snapshots, each its own |
//! | `appends` | one stream of appends, which ends with its answers |
//! | `snapshot` | a snapshot as a stream of parts |
//! | `server` | the other end of all of them |
//! | `membership` | what a leader says of the members, as messages |
//! | `meeting` | before there is a cluster in common |
//!
//! Clients have a port of their own, and each kind of peer traffic a connection of its own, so that a
//! snapshot on a slow link delays neither heartbeats nor answers.

mod appends;
pub(crate) mod connection;
mod error;
pub(crate) mod identity;
pub(crate) mod links;
pub mod meeting;
pub(crate) mod membership;
pub mod message;
pub(crate) mod network;
pub(crate) mod proposals;
pub mod server;
pub mod snapshot;
pub mod wire;
