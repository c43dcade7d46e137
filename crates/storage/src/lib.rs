//! Durable storage of one node: the Raft log and vote, and the store that is derived from the log.
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
//!  the source of truth                   disk::sled_database: rebuilt from log or snapshot
//! ```
//!
//! This is the only crate that uses raft-log and sled. It implements openraft's storage traits;
//! apart from `meridian-replication`, no other crate uses openraft. It must not know Raft's core,
//! peers, gRPC, or leadership.
//!
//! | to learn | read |
//! | --- | --- |
//! | what is on disk, and how far it is trusted | [`disk`], [`codec`] |
//! | how entries and votes become durable | [`log_store`] |
//! | how entries are applied | [`state_machine`], [`store`], [`event_log`], [`rows`] |
//! | how a snapshot is captured, staged and installed | [`snapshot`] |
//! | how a data directory is opened and verified | [`open`](mod@open) |
//! | how a cluster survives the loss of a majority of its disks | [`recovery`] |
//!
//! After the first storage error the [`fuse`] blows: nothing more is acknowledged and the node
//! stops.

pub mod codec;
pub mod disk;
pub mod event_log;
pub mod fuse;
pub mod log_store;
pub mod open;
pub mod planted;
pub mod raft;
pub mod recovery;
pub mod rows;
pub mod snapshot;
pub mod state_machine;
pub mod store;
