//! The mark: a small file beside the Raft log that says how far the log was durable.
//!
//! ```text
//! offset  size  content
//!      0  4096  slot 0
//!   4096  4096  slot 1
//!
//! slot:   0     4  length of the envelope in bytes, little-endian
//!         4     n  a [`StoredMark`] in its envelope, the rest of the slot is zero
//! ```
//!
//! Each write goes to the slot that does not hold the newest mark, so a torn write spoils only the
//! slot that was out of date, and the whole slot with the higher sequence counts. Slots stand in
//! different blocks of the disk.
//!
//! A log is cut off by lost files and by damage that looks like a torn tail, and neither leaves a
//! trace in what remains of it: the mark is that trace. [`crate::disk::wal`] says when it is
//! written, and what goes unnoticed nevertheless.
//!
//! Upgrades: as for every stored type, by the version in the envelope (see [`crate::codec`]).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::disk::directory::{Identity, StoredIdentity};
use crate::disk::durable::{self, FileError, naming};
use crate::disk::entry::{Position, StoredVote};
use crate::stored;

stored! {
    StoredMark = 22, version 1, "mark";
}

const SLOT_BYTES: usize = 4096;
const LENGTH_BYTES: usize = 4;

/// The stored form of a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMark {
    /// Higher in each later mark.
    pub sequence: u64,
    /// Whose log it is.
    pub owner: StoredIdentity,
    /// A vote that is durable in the log, or was followed there by a greater one.
    pub vote: Option<StoredVote>,
    /// An entry that is durable in the log, or was purged from it.
    pub durable: Option<Position>,
}

/// Why there is no mark to go by.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// Neither slot holds a mark.
    #[error(
        "{} is damaged: neither of its slots holds a mark; \
         wipe the data directory and join as a new node",
        path.display()
    )]
    Damaged {
        /// The mark's file.
        path: PathBuf,
    },
    /// It belongs to another data directory.
    #[error(
        "{} belongs to node {} of cluster {}, and this data directory to node {} of cluster {}: \
         files were mixed; wipe the data directory and join as a new node",
        path.display(), found.node, found.cluster, wanted.node, wanted.cluster
    )]
    Foreign {
        /// The mark's file.
        path: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Whose directory it lies in.
        wanted: Identity,
    },
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The mark's file, open for writing.
#[derive(Debug)]
pub struct Mark {
    file: File,
    path: PathBuf,
    current: StoredMark,
}

impl Mark {
    /// Creates the mark of a new log, durably.
    ///
    /// # Errors
    /// If it cannot be written, or is there already.
    pub fn create(path: &Path, owner: Identity) -> Result<Self, MarkError> {
        let current = StoredMark { sequence: 0, owner: owner.into(), vote: None, durable: None };
        let mut bytes = slot(&current);
        bytes.resize(2 * SLOT_BYTES, 0);
        durable::replace_file(path, &bytes)?;
        Ok(Self { file: open(path)?, path: path.to_path_buf(), current })
    }

    /// Opens the mark at `path`; `None` where there is none.
    ///
    /// # Errors
    /// If it is damaged, or not `owner`'s.
    pub fn open(path: &Path, owner: Identity) -> Result<Option<Self>, MarkError> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(naming("read", path))?,
        };
        let newest = bytes.chunks(SLOT_BYTES).filter_map(mark_in).max_by_key(|mark| mark.sequence);
        let current = newest.ok_or_else(|| MarkError::Damaged { path: path.to_path_buf() })?;
        let found = Identity::from(current.owner.clone());
        if found != owner {
            return Err(MarkError::Foreign { path: path.to_path_buf(), found, wanted: owner });
        }
        Ok(Some(Self { file: open(path)?, path: path.to_path_buf(), current }))
    }

    /// The vote that the log must have, or a greater one.
    #[must_use]
    pub fn vote(&self) -> Option<StoredVote> {
        self.current.vote
    }

    /// The entry that the log must reach.
    #[must_use]
    pub fn durable(&self) -> Option<Position> {
        self.current.durable
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the mark, and returns once that is durable. Moving it to where it is costs nothing.
    ///
    /// # Errors
    /// If it cannot be written durably.
    pub fn write(
        &mut self,
        vote: Option<StoredVote>,
        durable: Option<Position>,
    ) -> Result<(), FileError> {
        if (vote, durable) == (self.current.vote, self.current.durable) {
            return Ok(());
        }
        let sequence = self.current.sequence + 1;
        let next = StoredMark { sequence, vote, durable, owner: self.current.owner.clone() };
        let offset = (sequence % 2) * SLOT_BYTES as u64;
        self.file
            .write_all_at(&slot(&next), offset)
            .and_then(|()| self.file.sync_data())
            .map_err(naming("write", &self.path))?;
        self.current = next;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(naming("open", path))
}

fn slot(mark: &StoredMark) -> Vec<u8> {
    let envelope = codec::encode(mark);
    let length = u32::try_from(envelope.len()).expect("a mark is small");
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(envelope);
    bytes.resize(SLOT_BYTES, 0);
    bytes
}

fn mark_in(slot: &[u8]) -> Option<StoredMark> {
    let (length, rest) = slot.split_first_chunk::<LENGTH_BYTES>()?;
    let envelope = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let mark: StoredMark = codec::decode(envelope).ok()?;
    // No node ever writes so many: there would be no number for the next one.
    (mark.sequence < u64::MAX).then_some(mark)
}

#[cfg(test)]
mod tests {
    use meridian_domain::{ClusterId, NodeId};
    use uuid::Uuid;

    use super::*;

    fn owner(node: u64) -> Identity {
        Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(node) }
    }

    fn at(index: u64) -> Option<Position> {
        Some(Position { term: 1, node: 1, index })
    }

    #[test]
    fn the_newest_mark_is_found_and_a_torn_write_leaves_the_one_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mark");
        assert!(Mark::open(&path, owner(1)).expect("is not there").is_none());
        let mut mark = Mark::create(&path, owner(1)).expect("is new");
        for index in 1..=5 {
            mark.write(None, at(index)).expect("can be written");
        }
        let mark = Mark::open(&path, owner(1)).expect("is whole").expect("is there");
        assert_eq!(mark.durable(), at(5));

        let mut bytes = std::fs::read(&path).expect("is there");
        bytes[SLOT_BYTES + 40] ^= 1;
        std::fs::write(&path, &bytes).expect("can be written");
        let mark = Mark::open(&path, owner(1)).expect("one is whole").expect("is there");
        assert_eq!(mark.durable(), at(4));

        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).expect("can be written");
        let error = Mark::open(&path, owner(1)).expect_err("both are damaged").to_string();
        assert!(error.contains("join as a new node"), "{error}");
    }

    #[test]
    fn the_mark_of_another_node_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mark");
        Mark::create(&path, owner(1)).expect("is new");
        Mark::open(&path, owner(2)).expect_err("is another's");
    }
}
