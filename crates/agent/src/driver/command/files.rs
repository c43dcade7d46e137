//! The directory of one unit: `u7.d` in the run directory.
//!
//! | file | content |
//! | --- | --- |
//! | `configuration` | the configuration file that the program reads |
//! | `configuration.new` | a staged configuration that has not been checked yet |
//! | `served` | the revision that the program serves, in the format of the module `checked_file` |
//! | `stopping` | empty; created before the stop signal is sent |
//! | others | files of the program |
//!
//! The directory is deleted with the unit's other files. If a file is lost or unreadable, the
//! configuration is reloaded.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use meridian_domain::Revision;
use meridian_durable::private_file;
use serde::{Deserialize, Serialize};

use crate::checked_file::{self, Version};

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

    /// Creates the directory, accessible only to this user.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.0.join("configuration")
    }

    /// Writes a configuration that takes effect only when it is [committed](Self::commit). Returns
    /// its path.
    pub(super) fn stage(&self, text: &str) -> io::Result<PathBuf> {
        let staged = self.0.join("configuration.new");
        let mut options = private_file();
        options.write(true).create(true).truncate(true);
        let mut file = meridian_durable::open(&staged, &options)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        Ok(staged)
    }

    /// Replaces the configuration with the staged one.
    pub(super) fn commit(&self) -> io::Result<()> {
        fs::rename(self.0.join("configuration.new"), self.configuration())
    }

    /// True if the configuration file already contains `text`.
    pub(super) fn configuration_is(&self, text: &str) -> bool {
        fs::read(self.configuration()).is_ok_and(|found| found == text.as_bytes())
    }

    /// Records the revision that the program serves.
    pub(super) fn record_served(&self, revision: Revision) -> io::Result<()> {
        checked_file::replace(&self.0, SERVED, &Served { version: Version, revision })
    }

    /// Returns the revision that the program serves, if known.
    pub(super) fn served(&self) -> Option<Revision> {
        checked_file::read::<Served>(&self.0.join(SERVED)).ok().map(|served| served.revision)
    }

    /// Records that the program is being stopped.
    pub(super) fn record_stopping(&self) -> io::Result<()> {
        let stopping = self.0.join(STOPPING);
        meridian_durable::open(&stopping, private_file().write(true).create(true)).map(drop)
    }

    /// True if the stop of the program was recorded.
    pub(super) fn is_stopping(&self) -> bool {
        self.0.join(STOPPING).exists()
    }
}
