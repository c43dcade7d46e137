//! Communication between agents, over gRPC on the peer port.
//!
//! | module | content |
//! | --- | --- |
//! | `identity` | headers on every request that identify the intended receiver and the sender |
//! | `epoch` | the epoch of the sender, and what a node does that is superseded |
//! | `message`, `wire` | conversion of messages to and from bytes |
//! | `address_book` | addresses of the members, looked up at each dial |
//! | `introductions` | members that moved, identified by dialing back |
//! | `process_run` | identity of the process, which exposes two with one node id |
//! | `pool` | connections to the members, one for each kind of traffic |
//! | `links` | forwarded commands, reads and status requests |
//! | `proposals` | forwarded commands, multiplexed on one stream for each node |
//! | `network` | openraft's requests |
//! | `appends` | one stream of appends, which ends together with its responses |
//! | `snapshot` | a snapshot as a stream of parts |
//! | `server` | the gRPC service `Peer` |
//! | `membership` | conversion of the leader's view of the members |
//! | `votes` | conversion of the reports of probers, and of the votes |
//! | `meeting` | requests between agents that do not belong to one cluster yet |
//!
//! Clients use a separate port.

pub(crate) mod address_book;
mod appends;
pub mod epoch;
pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod introductions;
pub(crate) mod links;
pub mod meeting;
pub(crate) mod membership;
pub mod message;
pub(crate) mod network;
pub(crate) mod pool;
pub mod process_run;
pub(crate) mod proposals;
pub mod server;
pub mod snapshot;
pub(crate) mod votes;
pub mod wire;
