//! Encoding of stored values: an envelope around bincode.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "MRDN"
//!      4     2  schema version of the type, little-endian
//!      6     2  type number, little-endian
//!      8     4  length of the body in bytes, little-endian
//!     12     4  CRC-32 (IEEE) of bytes 4 to 12 and of the body, little-endian
//!     16     n  body: bincode 1, fixed-width little-endian integers, no trailing bytes
//! ```
//!
//! bincode stores an enum by the position of its variant and a struct without field names. A moved
//! variant silently decodes as another one, and an added field causes an end-of-file error. So each
//! stored type is frozen with its schema version. To change a type, keep the old struct, give the
//! new one the next version, and convert: decode the old bytes into the old struct. A version that
//! is newer than this software is rejected with an error that names it. Golden-byte tests pin every
//! version.

use std::error::Error;
use std::io;

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: [u8; 4] = *b"MRDN";
const HEADER_BYTES: usize = 16;
/// Maximum size of a body in bytes: far above every limit of the domain, and small enough that a
/// corrupt length does not exhaust memory.
const MAX_BODY_BYTES: u64 = 16 << 20;

/// Type with a stored form.
pub trait Stored: Serialize + DeserializeOwned {
    /// Number of the type. Unique, and never reused.
    const TYPE: u16;
    /// Schema version of the type, incremented by every change of its stored form.
    const VERSION: u16;
    /// Name of the type in errors.
    const NAME: &'static str;
}

/// The bytes are not a value of the expected type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not an envelope: too short, wrong magic, or a length that does not match.
    #[error("{name}: not a Meridian envelope")]
    NotAnEnvelope {
        /// Name of the expected type.
        name: &'static str,
    },
    /// The checksum does not match: the bytes changed after they were written.
    #[error("{name}: checksum mismatch: the bytes are damaged")]
    Checksum {
        /// Name of the expected type.
        name: &'static str,
    },
    /// Envelope of another type.
    #[error("{name}: wrong type: expected {expected}, found {found}")]
    WrongType {
        /// Name of the expected type.
        name: &'static str,
        /// Number of the expected type.
        expected: u16,
        /// Number in the envelope.
        found: u16,
    },
    /// Written by newer software.
    #[error(
        "{name}: version {found} is not supported, the newest supported one is {supported}; run \
         the newer software on this data"
    )]
    Newer {
        /// Name of the expected type.
        name: &'static str,
        /// Newest version that this software reads.
        supported: u16,
        /// Version in the envelope.
        found: u16,
    },
    /// Written in an older version. Versions before the first release are not read.
    #[error(
        "{name}: written by unreleased software, which is not supported; start with empty data"
    )]
    Older {
        /// Name of the expected type.
        name: &'static str,
    },
    /// The envelope is intact but its body is invalid: a bug of the software that wrote it.
    #[error("{name}: cannot decode the body: {cause}")]
    Body {
        /// Name of the expected type.
        name: &'static str,
        /// Error of bincode.
        cause: String,
    },
}

impl From<DecodeError> for io::Error {
    fn from(error: DecodeError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Returns true if the error, or one of its causes, is [`DecodeError::Newer`]: the data is intact.
#[must_use]
pub fn is_newer(error: &(dyn Error + 'static)) -> bool {
    // The source of an `io::Error` is that of the error in it.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    matches!(error.downcast_ref(), Some(DecodeError::Newer { .. }))
        || inner.is_some_and(|inner| is_newer(inner))
        || error.source().is_some_and(is_newer)
}

fn body_format() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(MAX_BODY_BYTES)
        .reject_trailing_bytes()
}

/// Returns the stored form of `value`.
///
/// # Panics
/// If the value is larger than 16 MiB, or of a type that bincode cannot encode. Both are bugs.
pub fn encode<T: Stored>(value: &T) -> Vec<u8> {
    let body_bytes = body_format().serialized_size(value).expect("stored types have a size");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + usize::try_from(body_bytes).unwrap_or(0));
    bytes.resize(HEADER_BYTES, 0);
    body_format().serialize_into(&mut bytes, value).expect("stored types can be encoded");
    let length = u32::try_from(bytes.len() - HEADER_BYTES).expect("the size of a body is limited");
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&T::VERSION.to_le_bytes());
    bytes[6..8].copy_from_slice(&T::TYPE.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns the size of `value` as part of a stored value, in bytes; `usize::MAX` if it cannot be
/// stored.
pub fn body_bytes(value: &impl Serialize) -> usize {
    let size = bincode::DefaultOptions::new().with_fixint_encoding().serialized_size(value);
    size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

/// Returns the total length, according to its header, of the envelope at the start of `bytes`.
/// Returns `None` if they do not start with an envelope.
pub fn envelope_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER_BYTES)?;
    let length = header[8..12].try_into().ok().map(u32::from_le_bytes)?;
    (header[..4] == MAGIC).then_some(HEADER_BYTES + usize::try_from(length).ok()?)
}

/// Decodes a value from its stored form.
///
/// # Errors
/// If `bytes` are not a valid stored form of `T`. Any input is safe, however corrupt.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, DecodeError> {
    let name = T::NAME;
    if bytes.len() < HEADER_BYTES || bytes[..4] != MAGIC {
        return Err(DecodeError::NotAnEnvelope { name });
    }
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let body = &bytes[HEADER_BYTES..];
    if u32_at(8) as usize != body.len() {
        return Err(DecodeError::NotAnEnvelope { name });
    }
    if u32_at(12) != checksum(bytes) {
        return Err(DecodeError::Checksum { name });
    }
    if u16_at(6) != T::TYPE {
        return Err(DecodeError::WrongType { name, expected: T::TYPE, found: u16_at(6) });
    }
    if u16_at(4) > T::VERSION {
        return Err(DecodeError::Newer { name, supported: T::VERSION, found: u16_at(4) });
    }
    if u16_at(4) < T::VERSION {
        return Err(DecodeError::Older { name });
    }
    body_format()
        .deserialize(body)
        .map_err(|error| DecodeError::Body { name, cause: error.to_string() })
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[4..12]);
    hasher.update(&bytes[HEADER_BYTES..]);
    hasher.finalize()
}

/// Implements [`Stored`](crate::codec::Stored) for types: type number, schema version, and name for
/// errors.
///
/// Type numbers are never reused: 1-19 are for the domain, 20-29 for the Raft log, 30-39 for the
/// derived store, 40-49 for messages between agents.
#[macro_export]
macro_rules! stored {
    ($($type:ty = $number:literal, version $version:literal, $name:literal;)*) => {
        $(impl $crate::codec::Stored for $type {
            const TYPE: u16 = $number;
            const VERSION: u16 = $version;
            const NAME: &'static str = $name;
        })*
    };
}

// Types of other crates. Types of the storage and replication crates are declared next to their
// definition.
stored! {
    meridian_domain::Entry = 1, version 2, "log entry";
    meridian_domain::EventRecord = 2, version 2, "event";
    meridian_domain::Command = 3, version 2, "command";
    meridian_domain::state::Header = 4, version 2, "state header";
    meridian_domain::Service = 5, version 2, "service";
    meridian_domain::Unit = 6, version 2, "unit";
    meridian_domain::Agent = 7, version 1, "agent";
    meridian_domain::Region = 8, version 1, "region";
    meridian_domain::outcome::Outcome = 9, version 1, "outcome";
    meridian_domain::AgentDescription = 10, version 1, "agent description";
    meridian_ports::Receipt = 40, version 1, "receipt";
    meridian_ports::ProposeError = 41, version 1, "propose error";
}

#[cfg(test)]
pub(crate) mod tests {
    /// Raises the version in an envelope, as newer software would write it.
    pub(crate) fn raise_version(envelope: &mut [u8]) {
        let version = u16::from_le_bytes([envelope[4], envelope[5]]) + 1;
        envelope[4..6].copy_from_slice(&version.to_le_bytes());
        let checksum = super::checksum(envelope);
        envelope[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
}
