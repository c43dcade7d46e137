//! Whether the end of the log is whole, torn or damaged.
//!
//! A crash in the middle of a write leaves a record that stops short, with nothing behind it: it
//! was never acknowledged, and is cut off. Damage in a length looks the same to a reader that goes
//! from record to record, and cutting there would cut acknowledged entries: so what lies behind is
//! searched for whole records first.
//!
//! A record may also stop short inside the file. The new length of a file can reach the disk before
//! the last of its blocks: seen on ext4, where these read as zeros then. So sectors of zeros at the
//! end of the file count as never written (etcd's log takes them for torn as well).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use raft_log::chunked_wal;
use raft_log::codeq::Decode;

use crate::disk::durable::naming;
use crate::disk::wal::WalError;
use crate::disk::wal::record::{POSITION_BYTES, Record};

/// raft-log's number of the record of an entry.
const ENTRY_RECORD: [u8; 4] = [0, 0, 0, 1];
/// raft-log's number of the record of a vote.
const VOTE_RECORD: [u8; 4] = [0, 0, 0, 0];
/// Bytes of the checksum at the end of a record.
const CHECKSUM_BYTES: usize = 8;
/// The smallest number of bytes that a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A record that was being written when the node stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the record begins in it.
    pub offset: usize,
    /// Bytes from there on.
    pub bytes: usize,
}

impl TornTail {
    /// Cuts it off, durably.
    pub fn cut(&self) -> Result<(), WalError> {
        let cut = || {
            let file = File::options().write(true).open(&self.path)?;
            file.set_len(self.offset as u64)?;
            file.sync_all()
        };
        Ok(cut().map_err(naming("cut a torn record off", &self.path))?)
    }
}

/// Looks at the end of the log in `directory`, and says what to cut off there.
///
/// # Errors
/// If the last chunk is damaged, one before it has no records, or they cannot be read.
pub(super) fn examine(directory: &Path) -> Result<Vec<TornTail>, WalError> {
    let mut torn = Vec::new();
    let mut chunks = chunks(directory)?.into_iter().rev();
    for path in chunks.by_ref() {
        match examine_chunk(&path)? {
            None => break,
            Some(tail) => {
                // raft-log discards a last chunk without a first record: it is created before the
                // end of the chunk before it is written, which may then be torn as well.
                let look_before = tail.offset == 0;
                torn.push(tail);
                if !look_before {
                    break;
                }
            }
        }
    }
    chunks.try_for_each(|path| has_records(&path))?;
    Ok(torn)
}

/// Whether there is anything in a chunk that others follow. raft-log does not ask before it looks
/// for the last record.
fn has_records(path: &Path) -> Result<(), WalError> {
    let bytes = std::fs::metadata(path).map_err(naming("read", path))?.len();
    if bytes > 0 {
        return Ok(());
    }
    let cause = "the file is empty, and others follow it".to_owned();
    Err(WalError::Damaged { path: path.to_path_buf(), offset: 0, cause })
}

/// The chunk files in `directory`, in order.
pub(super) fn chunks(directory: &Path) -> Result<Vec<PathBuf>, WalError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut chunks = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            // Offsets are padded, so the order of the names is that of the offsets.
            if chunked_wal::Config::parse_chunk_file_name(&name.to_string_lossy()).is_ok() {
                chunks.push(entry.path());
            }
        }
        chunks.sort();
        Ok(chunks)
    };
    Ok(list().map_err(naming("list", directory))?)
}

fn examine_chunk(path: &Path) -> Result<Option<TornTail>, WalError> {
    let bytes = std::fs::read(path).map_err(naming("read", path))?;
    let mut offset = 0;
    let failure = loop {
        let rest = &bytes[offset..];
        if rest.is_empty() {
            // A chunk without its first record is torn, though no byte of it is.
            let torn = TornTail { path: path.to_path_buf(), offset, bytes: 0 };
            return Ok((offset == 0).then_some(torn));
        }
        match record_length(rest) {
            Ok(length) => offset += length,
            Err(failure) => break failure,
        }
    };
    let rest = &bytes[offset..];
    let damaged = |cause: String| WalError::Damaged { path: path.to_path_buf(), offset, cause };
    let written = &bytes[offset..offset.max(written_bytes(&bytes))];
    if rest.iter().any(|byte| *byte != 0) {
        // A record that reaches into what was never written has no end.
        let failure = record_length(written).err().unwrap_or(failure);
        if failure.kind() != io::ErrorKind::UnexpectedEof {
            return Err(damaged(failure.to_string()));
        }
        if let Some(behind) = (1..written.len()).find(|at| record_length(&rest[*at..]).is_ok()) {
            let behind = offset + behind;
            return Err(damaged(format!(
                "it has no end, yet a whole record is at offset {behind}"
            )));
        }
        if whole_but_for_its_length(written) {
            return Err(damaged("its length is wrong, and all else of it is whole".to_owned()));
        }
    }
    Ok(Some(TornTail { path: path.to_path_buf(), offset, bytes: rest.len() }))
}

/// Bytes up to the end of the last sector that has anything in it.
fn written_bytes(file: &[u8]) -> usize {
    let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    end.next_multiple_of(SECTOR_BYTES).min(file.len())
}

fn record_length(bytes: &[u8]) -> io::Result<usize> {
    let mut rest = bytes;
    Record::decode(&mut rest)?;
    Ok(bytes.len() - rest.len())
}

/// Whether the record would be whole if its length said what the file holds: the last record of all
/// has nothing behind it that could betray a damaged length.
fn whole_but_for_its_length(record: &[u8]) -> bool {
    let at = match record.first_chunk() {
        Some(&ENTRY_RECORD) => 4 + POSITION_BYTES,
        Some(&VOTE_RECORD) => 4,
        _ => return false,
    };
    let length = record.len().checked_sub(at + 4 + CHECKSUM_BYTES);
    let Some(length) = length.and_then(|length| u32::try_from(length).ok()) else {
        return false;
    };
    let mut mended = record.to_vec();
    mended[at..at + 4].copy_from_slice(&length.to_be_bytes());
    record_length(&mended).is_ok()
}
