//! The journal: what a process did to the files of one directory, in the order in which it did it.
//!
//! ```text
//! record:  4  bytes that follow, little-endian
//!          1  kind
//!          n  fields: numbers of 8 bytes, little-endian; a path or data with its length before it
//! ```
//!
//! Shared as a source file by the shim, which writes it, and the package of the tests, which reads
//! it: neither may be linked into the other.

/// One thing that a process did, and that the system had done when it was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A file got its name, and was empty.
    Created {
        /// Its path.
        path: Vec<u8>,
    },
    /// Bytes were written.
    Written {
        /// The file.
        path: Vec<u8>,
        /// Where they begin in it.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// A file got another length.
    Resized {
        /// The file.
        path: Vec<u8>,
        /// Bytes that it has now.
        length: u64,
    },
    /// A file got another name, and the one that had it before is gone.
    Renamed {
        /// The old path.
        from: Vec<u8>,
        /// The new path.
        to: Vec<u8>,
    },
    /// A file or a directory has lost its name.
    Unlinked {
        /// The path.
        path: Vec<u8>,
    },
    /// A directory was created.
    DirectoryCreated {
        /// Its path.
        path: Vec<u8>,
    },
    /// A sync began: it covers what was noted before.
    SyncBegun {
        /// Its number.
        sync: u64,
        /// The file or directory.
        path: Vec<u8>,
    },
    /// A sync was done, and the process is told so next.
    SyncDone {
        /// Its number.
        sync: u64,
    },
    /// A sync failed, and what it covered is never written by a later one: Linux marks pages clean
    /// that could not be written (fsync(2), "fsyncgate").
    SyncFailed {
        /// Its number.
        sync: u64,
    },
    /// Nothing was written, and the process is told so next.
    WriteFailed {
        /// The file.
        path: Vec<u8>,
    },
    /// The process said something on its standard output.
    Said {
        /// The bytes.
        data: Vec<u8>,
    },
}

/// Bytes before each record.
pub const LENGTH_BYTES: usize = 4;

impl Record {
    /// The stored form, its length included.
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
            Self::SyncBegun { sync, path } => put(&mut bytes, 7, &[*sync], &[path]),
            Self::SyncDone { sync } => put(&mut bytes, 8, &[*sync], &[]),
            Self::SyncFailed { sync } => put(&mut bytes, 9, &[*sync], &[]),
            Self::Said { data } => put(&mut bytes, 10, &[], &[data]),
            Self::WriteFailed { path } => put(&mut bytes, 11, &[], &[path]),
        }
        let length = u32::try_from(bytes.len() - LENGTH_BYTES).expect("no call writes 4 GiB");
        bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// The first record in `bytes`, and what follows it; none where they are no whole record.
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
                Self::SyncBegun { sync, path: fields.bytes()? }
            }
            8 => Self::SyncDone { sync: fields.number()? },
            9 => Self::SyncFailed { sync: fields.number()? },
            10 => Self::Said { data: fields.bytes()? },
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
