//! The mark: a small file next to the Raft log with the last position and vote known to be durable
//! in the log.
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
//! Each write goes to the slot that does not hold the newest mark, so a torn write damages only the
//! outdated slot. The intact slot with the higher sequence is current. The slots are in different
//! blocks of the disk.
//!
//! Lost files, and damage that looks like a torn tail, shorten the log without leaving a trace in
//! the rest of it. The mark detects this. [`crate::disk::wal`] describes when it is written, and
//! which losses remain undetected.
//!
//! Upgrades: by the version in the envelope, as for every stored type (see [`crate::codec`]).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError};
use crate::disk::directory::{Identity, StoredIdentity};
use crate::disk::entry::{Position, StoredVote};
use crate::stored;
use meridian_durable::{self as durable, FileError, naming};

stored! {
    StoredMark = 22, version 1, "mark";
}

const SLOT_BYTES: usize = 4096;
const LENGTH_BYTES: usize = 4;

/// Stored form of a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMark {
    /// Sequence number, incremented by every write.
    pub sequence: u64,
    /// Identity of the node whose log this is.
    pub owner: StoredIdentity,
    /// Vote that is durable in the log, unless a greater one has replaced it there.
    pub vote: Option<StoredVote>,
    /// Entry that is durable in the log, unless it was purged.
    pub durable: Option<Position>,
}

/// The mark cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// Both slots are damaged.
    #[error(
        "{} is damaged: neither slot holds a valid mark; \
         wipe the data directory and join as a new node",
        path.display()
    )]
    Damaged {
        /// File of the mark.
        path: PathBuf,
    },
    /// At least one slot was written by newer software, which may have the newest mark.
    #[error("{} was written by newer software", path.display())]
    Unsupported {
        /// File of the mark.
        path: PathBuf,
        /// Cause and next step.
        #[source]
        cause: DecodeError,
    },
    /// The mark belongs to another node.
    #[error(
        "{} belongs to node {} of cluster {}, but the data directory to node {} of cluster {}; \
         wipe the data directory and join as a new node",
        path.display(), found.node, found.cluster, expected.node, expected.cluster
    )]
    Foreign {
        /// File of the mark.
        path: PathBuf,
        /// Owner of the mark.
        found: Identity,
        /// Owner of the data directory.
        expected: Identity,
    },
    /// The operating system returned an error.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Open file of the mark.
#[derive(Debug)]
pub struct Mark {
    file: File,
    path: PathBuf,
    current: StoredMark,
}

impl Mark {
    /// Creates the mark of a new log, durably. Replaces an existing one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path, owner: Identity) -> Result<Self, MarkError> {
        let current = StoredMark { sequence: 0, owner: owner.into(), vote: None, durable: None };
        let mut bytes = encode_slot(&current);
        bytes.resize(2 * SLOT_BYTES, 0);
        durable::replace_file(path, &bytes)?;
        Ok(Self { file: open(path)?, path: path.to_path_buf(), current })
    }

    /// Opens the mark at `path`. Returns `None` if the file does not exist.
    ///
    /// # Errors
    /// If the mark is damaged, was written by newer software, or does not belong to `owner`.
    pub fn open(path: &Path, owner: Identity) -> Result<Option<Self>, MarkError> {
        let bytes = match durable::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(naming("read", path))?,
        };
        let slots: Result<Vec<_>, _> = bytes.chunks(SLOT_BYTES).map(decode_slot).collect();
        let slots =
            slots.map_err(|cause| MarkError::Unsupported { path: path.to_path_buf(), cause })?;
        let newest = slots.into_iter().flatten().max_by_key(|mark| mark.sequence);
        let current = newest.ok_or_else(|| MarkError::Damaged { path: path.to_path_buf() })?;
        let found = Identity::from(current.owner.clone());
        if found != owner {
            return Err(MarkError::Foreign { path: path.to_path_buf(), found, expected: owner });
        }
        Ok(Some(Self { file: open(path)?, path: path.to_path_buf(), current }))
    }

    /// Returns the vote that the log must contain, unless it contains a greater one.
    #[must_use]
    pub fn vote(&self) -> Option<StoredVote> {
        self.current.vote
    }

    /// Returns the entry up to which the log must be intact.
    #[must_use]
    pub fn durable(&self) -> Option<Position> {
        self.current.durable
    }

    /// Writes the mark, and returns after it is durable. Does nothing if the values are unchanged.
    ///
    /// # Errors
    /// If the file cannot be written or synced.
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
            .write_all_at(&encode_slot(&next), offset)
            .and_then(|()| self.file.sync_data())
            .map_err(naming("write", &self.path))?;
        self.current = next;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    durable::open(path, OpenOptions::new().read(true).write(true)).map_err(naming("open", path))
}

fn encode_slot(mark: &StoredMark) -> Vec<u8> {
    let envelope = codec::encode(mark);
    let length = u32::try_from(envelope.len()).expect("a mark is small");
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(envelope);
    bytes.resize(SLOT_BYTES, 0);
    bytes
}

/// Returns the mark in a slot; `None` if the slot is damaged.
///
/// # Errors
/// If newer software wrote the slot.
fn decode_slot(slot: &[u8]) -> Result<Option<StoredMark>, DecodeError> {
    let parts = slot.split_first_chunk::<LENGTH_BYTES>();
    let envelope =
        parts.and_then(|(length, rest)| rest.get(..u32::from_le_bytes(*length) as usize));
    match envelope.map(codec::decode::<StoredMark>) {
        // No node writes this many marks, and there would be no number for the next one.
        Some(Ok(mark)) => Ok((mark.sequence < u64::MAX).then_some(mark)),
        Some(Err(newer @ DecodeError::Newer { .. })) => Err(newer),
        Some(Err(_)) | None => Ok(None),
    }
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
    fn the_newest_mark_counts_and_a_torn_write_leaves_the_previous_one() {
        let directory = tempfile::tempdir().expect("can create a directory");
        let path = directory.path().join("mark");
        assert!(Mark::open(&path, owner(1)).expect("can be read").is_none());
        let mut mark = Mark::create(&path, owner(1)).expect("is new");
        for index in 1..=5 {
            mark.write(None, at(index)).expect("can be written");
        }
        let mark = Mark::open(&path, owner(1)).expect("is intact").expect("exists");
        assert_eq!(mark.durable(), at(5));

        let mut bytes = std::fs::read(&path).expect("exists");
        bytes[SLOT_BYTES + 40] ^= 1;
        std::fs::write(&path, &bytes).expect("can be written");
        let mark = Mark::open(&path, owner(1)).expect("one slot is intact").expect("exists");
        assert_eq!(mark.durable(), at(4));

        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).expect("can be written");
        let error = Mark::open(&path, owner(1)).expect_err("both are damaged").to_string();
        assert!(error.contains("join as a new node"), "{error}");
    }

    #[test]
    fn a_mark_of_newer_software_is_rejected_without_the_advice_to_wipe_it() {
        let directory = tempfile::tempdir().expect("can create a directory");
        let path = directory.path().join("mark");
        let mut mark = Mark::create(&path, owner(1)).expect("is new");
        mark.write(None, at(1)).expect("can be written");
        for slots in [0..1, 1..2, 0..2] {
            let intact = std::fs::read(&path).expect("exists");
            let mut newer = intact.clone();
            for slot in slots {
                let envelope = &mut newer[slot * SLOT_BYTES..][LENGTH_BYTES..];
                let bytes = codec::envelope_bytes(envelope).expect("is an envelope");
                codec::tests::raise_version(&mut envelope[..bytes]);
            }
            std::fs::write(&path, newer).expect("can be written");
            let error = Mark::open(&path, owner(1)).expect_err("is newer");
            assert!(matches!(error, MarkError::Unsupported { .. }), "{error}");
            let error = error_reporter::Report::new(error).to_string();
            assert!(error.contains("run the newer software") && !error.contains("wipe"), "{error}");
            std::fs::write(&path, intact).expect("can be written");
        }
    }

    #[test]
    fn the_mark_of_another_node_is_rejected() {
        let directory = tempfile::tempdir().expect("can create a directory");
        let path = directory.path().join("mark");
        Mark::create(&path, owner(1)).expect("is new");
        Mark::open(&path, owner(2)).expect_err("belongs to another node");
    }
}
