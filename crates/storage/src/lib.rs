//! Durable storage of one node: the Raft log and vote, and the store derived from the log.
//!
//! ```text
//!   openraft                               readers of state and events
//!      |  append, vote, truncate, purge         ^
//!      v                                        |
//!  +-----------+   flushed up to index   +------+--------+
//!  | log_store | ----------------------> | store         |  state, outcomes, event log
//!  +-----------+                         | state_machine |  applies committed entries
//!      |                                 +---------------+
//!      v                                        |  rows: one batch per applied range
//!  disk::wal (raft-log)                         v
//!  the only reason to acknowledge        disk::sled_database: rebuilt from log or snapshot
//! ```
//!
//! The only crate that uses raft-log and sled, and with `meridian-replication` the only one that uses
//! openraft: it implements openraft's storage traits and must not know its core, a peer, gRPC, or a
//! leader.
//!
//! | to learn | read |
//! | --- | --- |
//! | what is on disk, and what may be believed of it | [`disk`], [`codec`] |
//! | how entries and votes become durable | [`log_store`] |
//! | what applying an entry does | [`state_machine`], [`store`], [`event_log`], [`rows`] |
//! | how a snapshot is captured, staged and installed | [`snapshot`] |
//! | how a data directory is opened and verified | [`open`](mod@open) |
//!
//! After the first storage error nothing is acknowledged: the [`fuse`] blows and the node stops.

pub mod codec;
pub mod disk;
pub mod event_log;
pub mod fuse;
pub mod log_store;
pub mod open;
pub mod planted;
pub mod raft;
pub mod rows;
pub mod snapshot;
pub mod state_machine;
pub mod store;
