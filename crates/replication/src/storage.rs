//! What this node keeps on disk, and how it survives crashes, full disks and lying ones.
//!
//! # Layout of a data directory
//!
//! ```text
//! lock        held by the process that uses the directory; its pid          (directory)
//! identity    which node of which cluster this is                           (directory)
//! mark        how far the Raft log was durable, and the last vote           (mark)
//! raft-log/   votes and entries: what this node acknowledged                (wal)
//! database/   event log, state, outcomes: derived from the entries          (sled_database)
//! *.new       there while what they are named after is being created        (durable, sled_database)
//! ```
//!
//! Only `raft-log` is ever the reason to acknowledge something. The database can be rebuilt from log,
//! snapshot and peers, and is never believed where they contradict it. Nothing here is repaired in
//! place: a directory that is not whole is refused with the file that is at fault, and its node comes
//! back, wiped, as a new one.
//!
//! # Upgrades
//!
//! Each stored value carries the version of its form ([`crate::codec`]): newer software reads what
//! older software wrote, and writes its own form from then on. Older software refuses what it does
//! not know, by name. There is no version of the directory as a whole; a file that is added must be
//! optional, or be given a new name.
//!
//! # Seams
//!
//! [`journal::Journal`] and [`database::Database`] are what the rest of this crate sees, so that
//! tests can cut the power under it.

pub mod database;
pub mod directory;
pub mod durable;
pub mod entry;
pub mod journal;
pub mod mark;
pub mod memory_database;
pub mod sled_database;
pub mod space;
pub mod wal;
