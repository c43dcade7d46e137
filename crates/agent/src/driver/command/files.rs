//! The directory of one unit, `u7.d` in the run directory.
//!
//! | file | content |
//! | --- | --- |
//! | `configuration` | what the program reads |
//! | `configuration.new` | one that is not checked yet |
//! | `served` | the revision that the program serves, in the form of the module `durable` |
//! | `stopping` | nothing; it is there once the program was told to end |
//! | others | the program's own |
//!
//! It is deleted with the unit's other files. What cannot be read of it costs a reload.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use meridian_domain::Revision;
use serde::{Deserialize, Serialize};

use crate::durable::{self, Version};

const SERVED: &str = "served";
const STOPPING: &str = "stopping";

#[derive(Serialize, Deserialize)]
struct Served {
    version: Version,
    revision: Revision,
}

/// The directory of one unit.
#[derive(Debug, Clone)]
pub(super) struct UnitFiles(PathBuf);

impl UnitFiles {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Creates it, for this user alone.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.0.join("configuration")
    }

    /// Writes a configuration that does not count before it is [committed](Self::commit).
    pub(super) fn stage(&self, text: &str) -> io::Result<PathBuf> {
        let staged = self.0.join("configuration.new");
        let mut file = File::create(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        Ok(staged)
    }

    /// Puts the staged configuration in place of the old one.
    pub(super) fn commit(&self) -> io::Result<()> {
        fs::rename(self.0.join("configuration.new"), self.configuration())
    }

    /// Whether the configuration is `text` already.
    pub(super) fn has(&self, text: &str) -> bool {
        fs::read(self.configuration()).is_ok_and(|found| found == text.as_bytes())
    }

    /// Notes what the program serves.
    pub(super) fn note_served(&self, revision: Revision) -> io::Result<()> {
        durable::replace(&self.0, SERVED, &Served { version: Version, revision })
    }

    /// What the program serves, as far as that is known.
    pub(super) fn served(&self) -> Option<Revision> {
        durable::read::<Served>(&self.0.join(SERVED)).ok().map(|served| served.revision)
    }

    /// Notes that the program was told to end.
    pub(super) fn note_stopping(&self) -> io::Result<()> {
        File::create(self.0.join(STOPPING)).map(|_| ())
    }

    /// Whether the program was told to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.0.join(STOPPING).exists()
    }
}
