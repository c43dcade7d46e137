//! The replicated log: sequencing, Raft, peers and membership above [`meridian_storage`].
//!
//! ```text
//!   any node                      the leader                     every node
//!  +----------+  peer::links  +-----------+   peer::network  +------------------+
//!  | proposer | ------------> | sequencer | ---- Raft -----> | meridian-storage |
//!  +----------+               +-----------+                  |   Raft log       |  durable
//!  | reader   | --- read index ----^                         |   state machine  |  applied
//!  +----------+                                              +------------------+
//! ```
//!
//! The only crate that uses openraft's core. It implements the ports of `meridian-ports` and must
//! not know gateways or the command line.
//!
//! | to learn | read |
//! | --- | --- |
//! | how a command becomes an entry | [`sequencer`], then [`proposer`] |
//! | which time an entry has | `cluster_clock` |
//! | how a linearizable read is served | [`reader`] |
//! | what agents send each other | [`peer`] |
//! | how a cluster is bootstrapped, and who its members are | [`bootstrap`], `membership`, `leader_tasks`, [`members`] |
//! | when gateways are lost | `reachability` |
//! | what happens while the disk hangs | [`disk_watch`], [`suspension`] |
//! | what happens on a copy of a data directory | [`duplicate`] |
//! | how it all fits together | [`node`] |
//!
//! An acknowledged change is durable on a majority and applied by the leader that acknowledged it.

mod announcement;
pub mod attempt;
pub mod bootstrap;
mod cluster_clock;
pub mod contact;
pub mod disk_space;
pub mod disk_watch;
pub mod duplicate;
pub mod environment;
mod heartbeats;
pub mod instance;
mod last_failure;
mod leader_tasks;
mod leader_watch;
mod member_watch;
pub mod members;
mod membership;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod proposer;
mod reachability;
pub mod reader;
pub mod sequencer;
pub mod suspension;
pub mod timing;
mod transitions;
