//! Inspection of the end of the log: intact, torn or damaged.
//!
//! A crash during a write leaves an incomplete record with nothing after it. That record was never
//! acknowledged and is truncated. A damaged length looks the same to a reader that goes from record
//! to record, and truncating there would remove acknowledged entries. So the bytes after it are
//! searched for complete records first.
//!
//! A record may also be incomplete inside the file. The new length of a file can reach the disk
//! before the last of its blocks: on ext4, these blocks were observed to read as zeros. So sectors
//! of zeros at the end of the file count as never written (etcd's log treats them as torn, too).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use raft_log::chunked_wal;
use raft_log::codeq::Decode;

use crate::codec;
use crate::disk::wal::WalError;
use crate::disk::wal::record::{POSITION_BYTES, Record};
use meridian_durable::naming;

/// Record type of an entry in raft-log.
const ENTRY_RECORD: [u8; 4] = [0, 0, 0, 1];
/// Record type of a vote in raft-log.
const VOTE_RECORD: [u8; 4] = [0, 0, 0, 0];
/// Size of the checksum at the end of a record in bytes.
const CHECKSUM_BYTES: usize = 8;
/// Size in bytes of the smallest unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;

/// Incomplete record at the end of a file: the node stopped while writing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TornTail {
    /// File of the chunk.
    pub path: PathBuf,
    /// Offset of the record in the file, in bytes.
    pub offset: usize,
    /// Number of bytes from the offset to the end of the file.
    pub bytes: usize,
}

impl TornTail {
    /// Truncates the file before the record, durably.
    pub fn truncate(&self) -> Result<(), WalError> {
        let truncate = || {
            let file = meridian_durable::open(&self.path, File::options().write(true))?;
            file.set_len(self.offset as u64)?;
            file.sync_all()
        };
        Ok(truncate().map_err(naming("truncate a torn record of", &self.path))?)
    }
}

/// Returns the torn records at the end of the log in `directory`.
///
/// # Errors
/// If the last chunk is damaged or was written by newer software, an earlier one is empty, or a
/// chunk cannot be read.
pub(super) fn find_torn(directory: &Path) -> Result<Vec<TornTail>, WalError> {
    let mut torn = Vec::new();
    let mut chunks = chunks(directory)?.into_iter().rev();
    for path in chunks.by_ref() {
        match find_torn_in(&path)? {
            None => break,
            Some(tail) => {
                // raft-log discards a last chunk without a first record. It creates a chunk before
                // it writes the end of the previous one, which may then be torn as well.
                let check_previous = tail.offset == 0;
                torn.push(tail);
                if !check_previous {
                    break;
                }
            }
        }
    }
    chunks.try_for_each(|path| check_not_empty(&path))?;
    Ok(torn)
}

/// Checks that a chunk with later chunks is not empty. raft-log assumes it when it looks for the
/// last record.
fn check_not_empty(path: &Path) -> Result<(), WalError> {
    let bytes = std::fs::metadata(path).map_err(naming("read", path))?.len();
    if bytes > 0 {
        return Ok(());
    }
    let cause = "the file is empty, but later ones exist".to_owned();
    Err(WalError::Damaged { path: path.to_path_buf(), offset: 0, cause })
}

/// Returns the chunk files in `directory`, in order.
pub(super) fn chunks(directory: &Path) -> Result<Vec<PathBuf>, WalError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut chunks = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            // Offsets are zero-padded, so the names sort by offset.
            if chunked_wal::Config::parse_chunk_file_name(&name.to_string_lossy()).is_ok() {
                chunks.push(entry.path());
            }
        }
        chunks.sort();
        Ok(chunks)
    };
    Ok(list().map_err(naming("list", directory))?)
}

/// Returns the error for the first chunk in `directory` that newer software wrote, if there is one.
/// raft-log states the cause only as text.
pub(super) fn find_newer(directory: &Path) -> Option<WalError> {
    chunks(directory).ok()?.into_iter().find_map(|path| {
        let (_, failure) = first_failure(&std::fs::read(&path).ok()?);
        let cause = failure.filter(|failure| codec::is_newer(failure))?;
        Some(WalError::Unsupported { path, cause })
    })
}

/// Returns the offset of the first record that cannot be decoded, and its error; the length of the
/// file if there is none.
fn first_failure(file: &[u8]) -> (usize, Option<io::Error>) {
    let mut offset = 0;
    while offset < file.len() {
        match record_length(&file[offset..]) {
            Ok(length) => offset += length,
            Err(failure) => return (offset, Some(failure)),
        }
    }
    (offset, None)
}

fn find_torn_in(path: &Path) -> Result<Option<TornTail>, WalError> {
    let bytes = std::fs::read(path).map_err(naming("read", path))?;
    let (offset, failure) = first_failure(&bytes);
    let Some(failure) = failure else {
        // A chunk without its first record is torn, although it has no bytes.
        let torn = TornTail { path: path.to_path_buf(), offset, bytes: 0 };
        return Ok((offset == 0).then_some(torn));
    };
    if codec::is_newer(&failure) {
        return Err(WalError::Unsupported { path: path.to_path_buf(), cause: failure });
    }
    let rest = &bytes[offset..];
    let damaged = |cause: String| WalError::Damaged { path: path.to_path_buf(), offset, cause };
    let written = &bytes[offset..offset.max(written_bytes(&bytes))];
    if rest.iter().any(|byte| *byte != 0) {
        // A record that extends into sectors that were never written is incomplete.
        let failure = record_length(written).err().unwrap_or(failure);
        if failure.kind() != io::ErrorKind::UnexpectedEof {
            return Err(damaged(failure.to_string()));
        }
        if let Some(next) = (1..written.len()).find(|at| record_length(&rest[*at..]).is_ok()) {
            let next = offset + next;
            return Err(damaged(format!(
                "incomplete, but a complete record follows at offset {next}"
            )));
        }
        if is_valid_except_length(written) {
            return Err(damaged("its length is wrong".to_owned()));
        }
    }
    Ok(Some(TornTail { path: path.to_path_buf(), offset, bytes: rest.len() }))
}

/// Returns the number of bytes up to the end of the last sector that is not all zeros.
fn written_bytes(file: &[u8]) -> usize {
    let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    end.next_multiple_of(SECTOR_BYTES).min(file.len())
}

fn record_length(bytes: &[u8]) -> io::Result<usize> {
    let mut rest = bytes;
    Record::decode(&mut rest)?;
    Ok(bytes.len() - rest.len())
}

/// Returns true if the record is valid once its length is set to what the file holds. The last
/// record of the log has nothing after it that would reveal a damaged length.
fn is_valid_except_length(record: &[u8]) -> bool {
    let at = match record.first_chunk() {
        Some(&ENTRY_RECORD) => 4 + POSITION_BYTES,
        Some(&VOTE_RECORD) => 4,
        _ => return false,
    };
    let length = record.len().checked_sub(at + 4 + CHECKSUM_BYTES);
    let Some(length) = length.and_then(|length| u32::try_from(length).ok()) else {
        return false;
    };
    let mut fixed = record.to_vec();
    fixed[at..at + 4].copy_from_slice(&length.to_be_bytes());
    record_length(&fixed).is_ok()
}
