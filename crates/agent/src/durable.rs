//! Small files that survive a crash at any point: each is the old one or the new one, never a mix,
//! and the new one once [`replace`] has returned.
//!
//! Layout: one line, the CRC-32 of the rest as eight hexadecimal digits, a blank, JSON. The JSON has
//! a `version`; what a file of each version means is said where it is written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The system does not give it.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("it is damaged: its checksum does not match")]
    Damaged,
    /// It is whole, but means nothing to this software: a newer one wrote it.
    #[error("it was written by another version of this software")]
    Unknown(#[source] serde_json::Error),
}

/// The version of a file, of which there is one so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct Version;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number == 1 { Ok(Self) } else { Err(format!("version {number} is not 1")) }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> u32 {
        1
    }
}

/// The bytes of a file that holds `value`.
pub(crate) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(value)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// Puts `value` into `directory` under `name`, and returns once that is durable.
pub(crate) fn replace(directory: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    replace_bytes(directory, name, &encode(value)?)
}

/// Puts `bytes` into `directory` under `name`, and returns once that is durable.
pub(crate) fn replace_bytes(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let staged = directory.join(format!("{name}.new"));
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// The value in `path`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    decode(&fs::read(path)?)
}

/// The value in the bytes of a file.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Damaged)?;
    let (sum, json) = text.trim_end().split_once(' ').ok_or(ReadError::Damaged)?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return Err(ReadError::Damaged);
    }
    serde_json::from_str(json).map_err(ReadError::Unknown)
}
