//! The generation: a number that an agent raises at each start, so that units and the log can
//! ignore what an earlier process run of it sends.
//!
//! Stored in the file `generation` in the data directory, in the format of the module `checked_file`:
//! `{"version":1,"generation":N}`. A later, incompatible format raises `version`; this software
//! then refuses to start.

use std::io;
use std::path::{Path, PathBuf};

use meridian_domain::Generation;
use serde::{Deserialize, Serialize};

use crate::checked_file::{self, ReadError, Version};

const NAME: &str = "generation";

/// Error of [`raise`].
#[derive(Debug, thiserror::Error)]
pub enum RaiseError {
    /// The file exists but cannot be read. Starting again from 1 would make the units refuse this
    /// agent.
    #[error("cannot read the agent's generation from {path}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The new generation could not be made durable.
    #[error("cannot write the agent's generation to {path}")]
    Unwritable {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
    generation: Generation,
}

/// Raises the generation stored in the data directory `directory` by one and returns it once it is
/// durable. Returns 1 if the directory has none. The caller holds the directory's lock.
///
/// # Errors
/// If the stored generation cannot be read, or the new one cannot be written.
pub fn raise(directory: &Path) -> Result<Generation, RaiseError> {
    raise_above(directory, Generation(0))
}

/// Like [`raise`], to a generation above `floor`: that of reports in the log, which is greater than
/// the stored one if the data directory was restored from an older copy.
///
/// # Errors
/// Those of [`raise`].
pub fn raise_above(directory: &Path, floor: Generation) -> Result<Generation, RaiseError> {
    let path = directory.join(NAME);
    let stored = match checked_file::read::<Stored>(&path) {
        Ok(stored) => stored.generation,
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Generation(0),
        Err(error) => return Err(RaiseError::Unreadable { path, source: error.into() }),
    };
    let last = stored.max(floor);
    if last.0 == u64::MAX {
        let source = "the generation has reached its maximum value".into();
        return Err(RaiseError::Unreadable { path, source });
    }
    let generation = last.next();
    match checked_file::replace(directory, NAME, &Stored { version: Version, generation }) {
        Ok(()) => Ok(generation),
        Err(source) => Err(RaiseError::Unwritable { path, source }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn each_process_run_has_a_greater_generation_than_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let generations = [(); 3].map(|()| raise(directory.path()).unwrap().0);
        assert_eq!(generations, [1, 2, 3]);
    }

    #[test]
    fn a_restored_directory_gets_a_generation_above_the_one_in_the_log() {
        let directory = tempfile::tempdir().unwrap();
        raise(directory.path()).unwrap();
        assert_eq!(raise_above(directory.path(), Generation(9)).unwrap(), Generation(10));
        assert_eq!(raise_above(directory.path(), Generation(3)).unwrap(), Generation(11));
    }

    #[test]
    fn the_stored_format_of_version_1_does_not_change() {
        let directory = tempfile::tempdir().unwrap();
        raise(directory.path()).unwrap();
        let stored = std::fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert_eq!(stored, "4229d1a1 {\"version\":1,\"generation\":1}\n");
    }

    #[test]
    fn a_corrupt_or_newer_file_is_an_error_and_never_a_fresh_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        raise(directory.path()).unwrap();
        let stored = std::fs::read_to_string(&path).unwrap();
        for corrupt in [stored.replace(":1}", ":2}"), String::new(), "deadbeef".to_owned()] {
            std::fs::write(&path, &corrupt).unwrap();
            assert!(raise(directory.path()).is_err(), "accepted {corrupt:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), corrupt);
        }
        let newer = r#"{"version":2,"epoch":"x"}"#;
        let maximum = r#"{"version":1,"generation":18446744073709551615}"#;
        for json in [newer, maximum] {
            let sealed = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
            std::fs::write(&path, sealed).unwrap();
            assert!(matches!(raise(directory.path()), Err(RaiseError::Unreadable { .. })));
        }
    }
}
