//! Durable replacement of small files.
//!
//! [`replace`] writes the new content to `NAME.new`, syncs it, renames it over `NAME` and syncs the
//! directory. A crash at any point leaves the old or the new content, never a mix; once [`replace`]
//! has returned, the new content survives a power failure. A leftover `NAME.new` is never read and
//! is overwritten by the next replacement. Two writers must not replace the same file at the same
//! time; between processes, the lock of the data directory ensures that.
//!
//! Layout of a file written with [`replace`] or [`encode`]: one line that holds the CRC-32 of the
//! JSON as eight hexadecimal digits, a space, and the JSON. The JSON has a field `version`; the
//! module that writes a file documents the content of each version.
//!
//! The functions that access the disk block the calling thread.

use std::fs::{self, File};
use std::io::{self, Write as _};
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
    replace_bytes(directory, name, &encode(value)?)
}

/// Replaces the file `name` in `directory` with `bytes` as they are, without a checksum, and
/// returns once that is durable.
///
/// # Errors
/// As for [`replace`].
pub(crate) fn replace_bytes(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let staged = directory.join(format!("{name}.new"));
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Reads the value in the file `path`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    decode(&fs::read(path)?)
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
