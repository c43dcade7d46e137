//! The journal: changes of a process to the files of one directory, in execution order.
//!
//! ```text
//! record:  4  length of the rest, little-endian
//!          1  kind
//!          n  fields: numbers of 8 bytes, little-endian; paths and data prefixed with their length
//! ```
//!
//! Shared as a source file between the shim, which writes it, and the test package, which reads it,
//! because neither may be linked into the other.

/// A change by the process, recorded after the system performed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An empty file was created.
    Created {
        /// Path of the file.
        path: Vec<u8>,
    },
    /// Bytes were written.
    Written {
        /// Path of the file.
        path: Vec<u8>,
        /// Offset in the file.
        offset: u64,
        /// The written bytes.
        data: Vec<u8>,
    },
    /// The length of a file was changed.
    Resized {
        /// Path of the file.
        path: Vec<u8>,
        /// New length in bytes.
        length: u64,
    },
    /// A file was renamed, replacing any file at the new path.
    Renamed {
        /// Old path.
        from: Vec<u8>,
        /// New path.
        to: Vec<u8>,
    },
    /// A file or directory was removed.
    Unlinked {
        /// Its path.
        path: Vec<u8>,
    },
    /// A directory was created.
    DirectoryCreated {
        /// Its path.
        path: Vec<u8>,
    },
    /// A sync started: it covers all earlier records.
    SyncStarted {
        /// Number of the sync.
        sync: u64,
        /// Path of the file or directory.
        path: Vec<u8>,
    },
    /// A sync completed; the process is notified next.
    SyncDone {
        /// Number of the sync.
        sync: u64,
    },
    /// A sync failed. A later sync does not write what it covered: Linux marks pages clean whose
    /// writeback failed (fsync(2), "fsyncgate").
    SyncFailed {
        /// Number of the sync.
        sync: u64,
    },
    /// A write failed without writing anything; the process is notified next.
    WriteFailed {
        /// Path of the file.
        path: Vec<u8>,
    },
    /// The process wrote to its standard output.
    Output {
        /// The written bytes.
        data: Vec<u8>,
    },
}

/// Size of the length prefix of a record.
pub const LENGTH_BYTES: usize = 4;

impl Record {
    /// Encodes the record with its length prefix.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH_BYTES];
        match self {
            Self::Created { path } => put(&mut bytes, 1, &[], &[path]),
            Self::Written { path, offset, data } => put(&mut bytes, 2, &[*offset], &[path, data]),
            Self::Resized { path, length } => put(&mut bytes, 3, &[*length], &[path]),
            Self::Renamed { from, to } => put(&mut bytes, 4, &[], &[from, to]),
            Self::Unlinked { path } => put(&mut bytes, 5, &[], &[path]),
            Self::DirectoryCreated { path } => put(&mut bytes, 6, &[], &[path]),
            Self::SyncStarted { sync, path } => put(&mut bytes, 7, &[*sync], &[path]),
            Self::SyncDone { sync } => put(&mut bytes, 8, &[*sync], &[]),
            Self::SyncFailed { sync } => put(&mut bytes, 9, &[*sync], &[]),
            Self::Output { data } => put(&mut bytes, 10, &[], &[data]),
            Self::WriteFailed { path } => put(&mut bytes, 11, &[], &[path]),
        }
        let length =
            u32::try_from(bytes.len() - LENGTH_BYTES).expect("a record is shorter than 4 GiB");
        bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Decodes the first record, and returns it with the remaining bytes; `None` if it is
    /// incomplete or invalid.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        let (kind, fields) = record.split_first()?;
        let mut fields = Fields(fields);
        let record = match kind {
            1 => Self::Created { path: fields.bytes()? },
            2 => {
                let offset = fields.number()?;
                Self::Written { offset, path: fields.bytes()?, data: fields.bytes()? }
            }
            3 => {
                let length = fields.number()?;
                Self::Resized { length, path: fields.bytes()? }
            }
            4 => Self::Renamed { from: fields.bytes()?, to: fields.bytes()? },
            5 => Self::Unlinked { path: fields.bytes()? },
            6 => Self::DirectoryCreated { path: fields.bytes()? },
            7 => {
                let sync = fields.number()?;
                Self::SyncStarted { sync, path: fields.bytes()? }
            }
            8 => Self::SyncDone { sync: fields.number()? },
            9 => Self::SyncFailed { sync: fields.number()? },
            10 => Self::Output { data: fields.bytes()? },
            11 => Self::WriteFailed { path: fields.bytes()? },
            _ => return None,
        };
        Some((record, rest))
    }
}

fn put(bytes: &mut Vec<u8>, kind: u8, numbers: &[u64], texts: &[&Vec<u8>]) {
    bytes.push(kind);
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
    for text in texts {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(*text);
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }
}
