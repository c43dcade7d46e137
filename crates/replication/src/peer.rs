//! Communication between agents, over gRPC on the peer port.
//!
//! | module | content |
//! | --- | --- |
//! | `identity` | headers on every request that identify the intended receiver |
//! | `message`, `wire` | conversion of messages to and from bytes |
//! | `connection` | one connection to another member |
//! | `links` | connections for forwarded commands, reads and status requests |
//! | `proposals` | forwarded commands, multiplexed on one stream for each node |
//! | `network` | openraft's connections, separate for appends, heartbeats and snapshots |
//! | `appends` | one stream of appends, which ends together with its responses |
//! | `snapshot` | a snapshot as a stream of parts |
//! | `server` | the gRPC service `Peer` |
//! | `membership` | conversion of the leader's view of the members |
//! | `meeting` | requests between agents that do not belong to one cluster yet |
//!
//! Clients use a separate port. Each kind of peer traffic has its own connection, so that a
//! snapshot on a slow link delays neither heartbeats nor responses.

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
