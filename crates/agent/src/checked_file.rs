//! Small checksummed files of the agent, replaced durably ([`meridian_durable::replace_file`]). The
//! lock of the data directory ensures that no other process replaces them at the same time.
//!
//! Layout of a file written with [`replace`] or [`encode`]: one line that holds the CRC-32 of the
//! JSON as eight hexadecimal digits, a space, and the JSON. The JSON has a field `version`; the
//! module that writes a file documents the content of each version.
//!
//! The functions that access the disk block the calling thread.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Error of [`read`] and [`decode`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The file cannot be opened or read.
    #[error("read failed")]
    Io(#[from] io::Error),
    /// The content is not a checksum followed by the bytes that it covers.
    #[error("file is corrupt: checksum mismatch")]
    Corrupt,
    /// The checksum matches, but the JSON has another version or other fields: different software
    /// wrote it.
    #[error("unsupported file format: written by a different version of this software")]
    Unsupported(#[source] serde_json::Error),
}

/// The `version` field of a file. Version 1 is the only one; any other fails to deserialize.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct Version;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number == 1 {
            Ok(Self)
        } else {
            Err(format!("unsupported version {number}, expected 1"))
        }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> u32 {
        1
    }
}

/// Encodes `value` as the content of a file.
pub(crate) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(value)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// Replaces the file `name` in `directory` with `value`, and returns once that is durable.
///
/// # Errors
/// If the file cannot be written or synced. The old content is then still in place, or the new
/// content is in place and may not survive a power failure.
pub(crate) fn replace(directory: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    Ok(meridian_durable::replace_file(&directory.join(name), &encode(value)?)?)
}

/// Reads the value in the file `path`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    decode(&meridian_durable::read(path)?)
}

/// Decodes the content of a file.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Corrupt)?;
    let (sum, json) = text.trim_end().split_once(' ').ok_or(ReadError::Corrupt)?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return Err(ReadError::Corrupt);
    }
    serde_json::from_str(json).map_err(ReadError::Unsupported)
}
