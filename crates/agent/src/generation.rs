//! The number of this agent's life.
//!
//! File `generation` in the data directory, in the form that the module `durable` describes:
//! `{"version":1,"generation":N}`. A later version that cannot be read by this one raises `version`;
//! this one then refuses to start.

use std::io;
use std::path::{Path, PathBuf};

use meridian_domain::Generation;
use serde::{Deserialize, Serialize};

use crate::durable::{self, ReadError, Version};

const NAME: &str = "generation";

/// Why the generation could not be raised.
#[derive(Debug, thiserror::Error)]
pub enum RaiseError {
    /// The file is there, but cannot be believed. Counting from 1 again would let the units refuse
    /// this agent.
    #[error("{path} does not give the agent's generation")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The new number could not be made durable.
    #[error("{path} cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
    generation: Generation,
}

/// Raises the generation in the data directory `directory`, and returns the new one once it is
/// durable; 1 in a directory without one. The caller holds the directory's lock.
///
/// # Errors
/// If there is one that cannot be read, or the new one cannot be written.
pub fn raise(directory: &Path) -> Result<Generation, RaiseError> {
    let path = directory.join(NAME);
    let last = match durable::read::<Stored>(&path) {
        Ok(stored) => stored.generation,
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Generation(0),
        Err(error) => return Err(RaiseError::Unreadable { path, source: error.into() }),
    };
    if last.0 == u64::MAX {
        let source = "it is the last number there is, which no agent ever reaches".into();
        return Err(RaiseError::Unreadable { path, source });
    }
    let generation = last.next();
    match durable::replace(directory, NAME, &Stored { version: Version, generation }) {
        Ok(()) => Ok(generation),
        Err(source) => Err(RaiseError::Unwritable { path, source }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn each_life_has_a_greater_number_than_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let lives = [(); 3].map(|()| raise(directory.path()).unwrap().0);
        assert_eq!(lives, [1, 2, 3]);
    }

    #[test]
    fn the_stored_form_of_version_1_stays() {
        let directory = tempfile::tempdir().unwrap();
        raise(directory.path()).unwrap();
        let stored = std::fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert_eq!(stored, "4229d1a1 {\"version\":1,\"generation\":1}\n");
    }

    #[test]
    fn a_damaged_or_newer_file_is_an_error_and_never_a_fresh_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        raise(directory.path()).unwrap();
        let stored = std::fs::read_to_string(&path).unwrap();
        for damaged in [stored.replace(":1}", ":2}"), String::new(), "deadbeef".to_owned()] {
            std::fs::write(&path, &damaged).unwrap();
            assert!(raise(directory.path()).is_err(), "{damaged:?} was believed");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
        let newer = r#"{"version":2,"life":"x"}"#;
        let last = r#"{"version":1,"generation":18446744073709551615}"#;
        for json in [newer, last] {
            let sealed = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
            std::fs::write(&path, sealed).unwrap();
            assert!(matches!(raise(directory.path()), Err(RaiseError::Unreadable { .. })));
        }
    }
}
