//! Data on the disk of a node, and how it survives crashes, full disks and disks that lose writes.
//!
//! # Layout of a data directory
//!
//! ```text
//! lock        locked by the process that uses the directory; holds its pid  (directory)
//! identity    cluster and node that the directory belongs to                (directory)
//! epoch       last recovery of the cluster; missing before the first        (epoch)
//! addresses   peer addresses given by an operator; usually missing          (addresses)
//! mark        last durable position and vote of the Raft log                (mark)
//! raft-log/   votes and entries that this node acknowledged                 (wal)
//! database/   event log, state, outcomes: derived from the entries          (sled_database)
//! *.new       temporary, while the file or directory is created             (durable,
//!                                                                           sled_database)
//! ```
//!
//! A node acknowledges only what is in `raft-log`. The database can be rebuilt from the log, a
//! snapshot and peers, and is not trusted where it contradicts them. Nothing is repaired in place:
//! a damaged or incomplete directory is rejected with an error that names the file, and its node
//! has to be wiped and rejoin as a new node.
//!
//! # Undetectable losses
//!
//! A directory is checked by its own content, so opening it does not detect the following:
//!
//! - The whole directory was replaced by an older, consistent copy of itself. Never restore one:
//!   its node has forgotten votes and entries that it acknowledged. (Older copies of single files
//!   among newer ones are detected, or harmless.)
//! - Entries that became durable in the last second before a crash were lost without a trace in the
//!   log, or the end of the log was lost together with the newest slot of the mark ([`wal`]).
//! - Events of earlier segments are damaged. This is detected when they are read.
//!
//! The first two need a disk that drops acknowledged writes, or an operator who moves files.
//! Recovery is the same as after a rejection: wipe the directory and let the node join as a new
//! one.
//!
//! Until then, the consequence is this: an acknowledged change is on a majority of nodes, and a
//! node that lost it no longer counts toward that majority. A leader that knows what the node had
//! acknowledged detects the loss, logs it, and immediately replicates the entries again. So nothing
//! is lost as long as the other nodes follow that leader, or another one with all entries. Before
//! that, the node may vote for a candidate that lacks the entries, or vote twice in one term. If
//! the other nodes that have the entries are unreachable or dead at that moment, an acknowledged
//! change is lost, and no node can detect it.
//!
//! # Upgrades
//!
//! Each stored value carries the schema version of its type ([`crate::codec`]): newer software
//! reads the formats of older software and writes its own format from then on. Older software
//! rejects a version that it does not know, with an error that names it. The directory as a whole
//! has no version; a file that is added must be optional, or be given a new name.
//!
//! # Test doubles
//!
//! The rest of this crate accesses the disk only through [`journal::Journal`] and
//! [`database::Database`], so that tests can simulate a power loss below them.

use std::io;

use rustix::io::Errno;

pub mod addresses;
pub mod database;
pub mod directory;
pub mod entry;
pub mod epoch;
pub mod journal;
pub mod mark;
pub mod memory_database;
pub mod sled_database;
pub mod space;
pub mod wal;

/// Returns true if the environment caused the error, not the data: see
/// [`meridian_durable::is_remediable`]. raft-log and sled keep only the text of an error of the
/// operating system, which has its code.
pub(crate) fn is_remediable(error: &io::Error) -> bool {
    let mentions = |code: i32| {
        let text = format!("{error:?}");
        text.contains(&format!("(os error {code})")) || text.contains(&format!("code: {code},"))
    };
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC].map(Errno::raw_os_error);
    meridian_durable::is_remediable(error) || codes.into_iter().any(mentions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_operating_system_is_recognized_in_the_text_of_a_library() {
        let lack = || io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        assert!(is_remediable(&io::Error::other(format!("cannot open chunk 7: {}", lack()))));
        assert!(is_remediable(&io::Error::other(format!("{:?}", lack()))));
        assert!(!is_remediable(&io::Error::other("checksum mismatch at offset 24")));
        let broken = io::Error::from_raw_os_error(Errno::IO.raw_os_error());
        assert!(!is_remediable(&io::Error::other(broken.to_string())));
    }
}
