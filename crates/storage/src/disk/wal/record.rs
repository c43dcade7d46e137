//! Content of the records of the log: Meridian's own frozen formats within raft-log's framing.
//!
//! raft-log frames a record as `type (4) | content | checksum (8)`, big-endian. The content is
//! built of
//!
//! ```text
//! a position   24 bytes: term, node, index, each 8 bytes, big-endian
//! an entry     length (4, big-endian) | StoredEntry in its envelope
//! a vote       length (4, big-endian) | StoredVote in its envelope
//! ```

use std::io::{self, Read, Write};

use raft_log::codeq::{Decode, Encode};
use raft_log::{Callback, RaftLogRecord, Types};

use crate::codec::{self, Stored};
use crate::disk::entry::{Position, StoredEntry, StoredVote};
use crate::disk::journal::SyncCallback;

/// Maximum size of an envelope in a record, in bytes: far above every limit of the domain, and
/// small enough that a damaged length is not mistaken for a torn record.
const MAX_ENVELOPE_BYTES: u32 = 20 << 20;

/// Size of a stored position in bytes.
pub(super) const POSITION_BYTES: usize = 24;

/// Type configuration of raft-log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records;

/// Record of a chunk file.
pub(super) type Record = RaftLogRecord<Records>;

impl Types for Records {
    type LogId = Position;
    type LogPayload = StoredEntry;
    type Vote = StoredVote;
    type Callback = SyncCallback;
    // Unused: a number has the shortest encoding.
    type UserData = u64;

    fn log_index(position: &Position) -> u64 {
        position.index
    }

    fn payload_size(entry: &StoredEntry) -> u64 {
        entry.payload_bytes() as u64
    }
}

impl Callback for SyncCallback {
    fn send(self, result: io::Result<()>) {
        self.complete(result);
    }
}

impl Encode for Position {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        let mut bytes = [0; POSITION_BYTES];
        bytes[..8].copy_from_slice(&self.term.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.node.to_be_bytes());
        bytes[16..].copy_from_slice(&self.index.to_be_bytes());
        writer.write_all(&bytes)?;
        Ok(POSITION_BYTES)
    }
}

impl Decode for Position {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        let mut next = || {
            let mut bytes = [0; 8];
            reader.read_exact(&mut bytes).map(|()| u64::from_be_bytes(bytes))
        };
        Ok(Self { term: next()?, node: next()?, index: next()? })
    }
}

impl Encode for StoredEntry {
    fn encode<W: Write>(&self, writer: W) -> io::Result<usize> {
        write_envelope(self, writer)
    }
}

impl Decode for StoredEntry {
    fn decode<R: Read>(reader: R) -> io::Result<Self> {
        read_envelope(reader)
    }
}

impl Encode for StoredVote {
    fn encode<W: Write>(&self, writer: W) -> io::Result<usize> {
        write_envelope(self, writer)
    }
}

impl Decode for StoredVote {
    fn decode<R: Read>(reader: R) -> io::Result<Self> {
        read_envelope(reader)
    }
}

fn write_envelope<T: Stored, W: Write>(value: &T, mut writer: W) -> io::Result<usize> {
    let envelope = codec::encode(value);
    let length = u32::try_from(envelope.len()).expect("the size of an envelope is limited");
    writer.write_all(&length.to_be_bytes())?;
    writer.write_all(&envelope)?;
    Ok(4 + envelope.len())
}

fn read_envelope<T: Stored, R: Read>(mut reader: R) -> io::Result<T> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_ENVELOPE_BYTES {
        let message = format!("{}: invalid length of {length} bytes", T::NAME);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    // The buffer grows with the bytes read instead of being reserved upfront: the length may be
    // corrupt.
    let mut envelope = Vec::new();
    reader.take(length.into()).read_to_end(&mut envelope)?;
    if envelope.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(codec::decode(&envelope)?)
}
