//! The replicated log: rooms 3, 5 and 6 of the way of one change, which the README describes.
//!
//! ```text
//!   any node                      the leader                     every node
//!  +----------+  peer::links  +-----------+   peer::network  +---------------+
//!  | proposer | ------------> | sequencer | ---- Raft -----> | log_store     |  durable
//!  +----------+               +-----------+                  | state_machine |  applied
//!  | reader   | --- read index ----^                         | store         |  state, events
//!  +----------+                                              +---------------+
//! ```
//!
//! The only crate that knows openraft, raft-log and sled. It offers the ports of `meridian-ports` and
//! must know nothing of gateways or command lines.
//!
//! | to learn | read |
//! | --- | --- |
//! | how a command becomes an entry | [`sequencer`], then [`proposer`] |
//! | what applying one does | [`state_machine`], [`store`], [`event_log`], [`rows`] |
//! | what is on disk, and what may be believed of it | [`storage`], [`codec`], [`log_store`] |
//! | how a node that was away catches up | [`snapshot`] |
//! | what agents say to each other | [`peer`] |
//! | how a cluster begins, and who belongs to it | [`founding`], `membership`, `duties`, [`members`] |
//! | how it all fits together | [`open`](mod@open), [`node`] |
//!
//! Two promises hold throughout. What was acknowledged is durable on a majority and applied by the
//! leader that answered. And after the first error of a disk nothing is acknowledged any more: the
//! [`fuse`] blows and the node stops.

pub mod attempt;
pub mod codec;
pub mod contact;
mod duties;
pub mod environment;
pub mod event_log;
pub mod founding;
pub mod fuse;
pub mod gauges;
pub mod instance;
pub mod leadership;
pub mod log_store;
pub mod members;
mod membership;
pub mod node;
pub mod open;
pub mod peer;
mod planted;
pub mod proposer;
pub mod raft;
pub mod reader;
pub mod rows;
pub mod sequencer;
pub mod snapshot;
pub mod state_machine;
pub mod storage;
pub mod store;
pub mod timing;

pub use planted::{Bug, PLANTED_BUGS};
