//! How values become bytes on disk: an envelope around bincode.
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
//! bincode stores an enum by position and a struct without names: a moved variant decodes silently
//! as another one, and an added field is an end-of-file error. So each stored type is frozen with
//! its schema version: to change one, keep the old struct, give the new one the next version, and
//! decode the old bytes into the old struct and convert. Bytes with a newer version than this
//! software knows are refused by name. Golden-byte tests pin every version.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: [u8; 4] = *b"MRDN";
const HEADER_BYTES: usize = 16;
/// Bytes of the largest body: far above every limit of the domain, far below what would exhaust
/// memory when a length lies.
const MOST_BODY_BYTES: u64 = 16 << 20;

/// A type with a stored form.
pub trait Stored: Serialize + DeserializeOwned {
    /// Tells the stored types apart; never reused.
    const TYPE: u16;
    /// Raised with every change of the form.
    const VERSION: u16;
    /// What to call it in an error.
    const NAME: &'static str;
}

/// Why bytes are not a value of the wanted type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than an envelope, without its magic, or longer than it says.
    #[error("{name}: these bytes are not in an envelope of Meridian's")]
    NotAnEnvelope {
        /// The wanted type.
        name: &'static str,
    },
    /// The checksum does not match: the bytes were changed after they were written.
    #[error("{name}: the checksum does not match; the bytes are damaged")]
    Checksum {
        /// The wanted type.
        name: &'static str,
    },
    /// An envelope of another type.
    #[error("{name}: these bytes are of type {found}, not {wanted}")]
    WrongType {
        /// The wanted type.
        name: &'static str,
        /// Its number.
        wanted: u16,
        /// The number found.
        found: u16,
    },
    /// Written by newer software.
    #[error(
        "{name}: written in version {found}, this software reads up to {supported}; \
         run the newer software on this data"
    )]
    Newer {
        /// The wanted type.
        name: &'static str,
        /// The newest version that this software reads.
        supported: u16,
        /// The version found.
        found: u16,
    },
    /// Written before the first release, whose forms are the first that are kept.
    #[error("{name}: written by unreleased software, which nothing reads: start with empty data")]
    Older {
        /// The wanted type.
        name: &'static str,
    },
    /// The envelope is whole and its body is not: a mistake in the software that wrote it.
    #[error("{name}: the body cannot be decoded: {cause}")]
    Body {
        /// The wanted type.
        name: &'static str,
        /// What bincode says.
        cause: String,
    },
}

impl From<DecodeError> for std::io::Error {
    fn from(error: DecodeError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

fn body_format() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(MOST_BODY_BYTES)
        .reject_trailing_bytes()
}

/// The stored form of `value`.
///
/// # Panics
/// If the value is larger than any stored value may be, or of a type that bincode cannot store:
/// both are mistakes in this software.
pub fn encode<T: Stored>(value: &T) -> Vec<u8> {
    let body_bytes = body_format().serialized_size(value).expect("stored types have a size");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + usize::try_from(body_bytes).unwrap_or(0));
    bytes.resize(HEADER_BYTES, 0);
    body_format().serialize_into(&mut bytes, value).expect("stored types can be encoded");
    let length = u32::try_from(bytes.len() - HEADER_BYTES).expect("bodies are limited");
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&T::VERSION.to_le_bytes());
    bytes[6..8].copy_from_slice(&T::TYPE.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Size of `value` as part of a stored value, in bytes; `usize::MAX` if it cannot be stored.
pub fn body_bytes(value: &impl Serialize) -> usize {
    let size = bincode::DefaultOptions::new().with_fixint_encoding().serialized_size(value);
    size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

/// Bytes of the envelope that `bytes` begin with, as it says itself; none if they begin with none.
pub fn envelope_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER_BYTES)?;
    let length = header[8..12].try_into().ok().map(u32::from_le_bytes)?;
    (header[..4] == MAGIC).then_some(HEADER_BYTES + usize::try_from(length).ok()?)
}

/// The value whose stored form `bytes` are.
///
/// # Errors
/// If they are not, for any reason: arbitrary bytes are safe to give.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, DecodeError> {
    let name = T::NAME;
    if bytes.len() < HEADER_BYTES || bytes[..4] != MAGIC {
        return Err(DecodeError::NotAnEnvelope { name });
    }
    let two = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let four =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let body = &bytes[HEADER_BYTES..];
    if four(8) as usize != body.len() {
        return Err(DecodeError::NotAnEnvelope { name });
    }
    if four(12) != checksum(bytes) {
        return Err(DecodeError::Checksum { name });
    }
    if two(6) != T::TYPE {
        return Err(DecodeError::WrongType { name, wanted: T::TYPE, found: two(6) });
    }
    if two(4) > T::VERSION {
        return Err(DecodeError::Newer { name, supported: T::VERSION, found: two(4) });
    }
    if two(4) < T::VERSION {
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

/// Gives types their stored form: a type number, the version of their layout, and a name for errors.
///
/// Type numbers are never reused: 1-19 are the domain's, 20-29 the Raft log's, 30-39 the derived
/// store's, 40-49 those of messages between agents.
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

// Types of other crates; every type of this workspace's storage and replication stands beside its
// definition.
stored! {
    meridian_domain::Entry = 1, version 2, "log entry";
    meridian_domain::EventRecord = 2, version 2, "event";
    meridian_domain::Command = 3, version 2, "command";
    meridian_domain::state::Header = 4, version 1, "state header";
    meridian_domain::Service = 5, version 2, "service";
    meridian_domain::Unit = 6, version 2, "unit";
    meridian_domain::Agent = 7, version 1, "agent";
    meridian_domain::Region = 8, version 1, "region";
    meridian_domain::outcome::Outcome = 9, version 1, "outcome";
    meridian_domain::AgentDescription = 10, version 1, "agent description";
    meridian_ports::Receipt = 40, version 1, "receipt";
    meridian_ports::ProposeError = 41, version 1, "refusal";
}
