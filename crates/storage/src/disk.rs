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
//! # What stays undetectable
//!
//! A directory is judged by what is in it, so these are not noticed when it is opened:
//!
//! - All of it was replaced by an older copy of itself, which is whole. Never restore one: its node
//!   has forgotten votes and entries that it acknowledged. (A part of an older copy among newer files
//!   is noticed, or harmless.)
//! - Entries that became durable in the last second before a crash are gone without a trace in the
//!   log, or the end of the log together with the newest slot of the mark ([`wal`]).
//! - Damage in events of earlier segments, until they are read.
//!
//! The first two need a disk that lies, or an operator who moves files. The way back is the same as
//! from a refusal: wipe the directory, and let the node join as a new one.
//!
//! What that may cost until then: an acknowledged change is on a majority, and a node that forgot it
//! no longer counts. A leader that knows what the node had acknowledged notices, says so in its log,
//! and gives it back at once, so nothing is lost as long as that leader, or one with all entries, is
//! followed by the others. Before, the node may vote for a candidate that lacks the entries, or vote a
//! second time in a term: if the others that have them are cut off or dead just then, a change that
//! was acknowledged is lost, and no node can tell.
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
