//! The directory of one unit: `u7.d` in the run directory.
//!
//! | file | content |
//! | --- | --- |
//! | `configuration` | the configuration file that the program reads |
//! | `configuration.new` | a staged configuration that has not been checked yet |
//! | `served` | the revision that the program serves, in the format of the module `checked_file` |
//! | `stopping` | empty; created before the stop signal is sent |
//! | others | files of the program, if it has the agent's user |
//! | `program/` | files of the program, if it has its own user |
//!
//! A program with its own user owns its configuration, but can create files only in its own
//! directory. So the agent, which is root then, never writes to a name that the program chose.
//!
//! The directory is deleted with the unit's other files. If a file is lost or unreadable, the
//! configuration is reloaded.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, fchown};
use std::path::PathBuf;

use meridian_domain::Revision;
use meridian_durable::private_file;
use serde::{Deserialize, Serialize};

use crate::checked_file::{self, Version};
use crate::driver::UnitUser;
use crate::driver::run_directory::PROGRAM_DIRECTORY;

const SERVED: &str = "served";
const STOPPING: &str = "stopping";

#[derive(Serialize, Deserialize)]
struct Served {
    version: Version,
    revision: Revision,
}

/// The directory of one unit.
#[derive(Debug, Clone)]
pub(super) struct UnitFiles {
    directory: PathBuf,
    /// User of the program, if it has its own.
    user: Option<UnitUser>,
}

impl UnitFiles {
    pub(super) fn new(directory: PathBuf, user: Option<UnitUser>) -> Self {
        Self { directory, user }
    }

    /// Creates the directory, accessible only to this user, and that of a program with its own user.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.directory)?;
        let Some(user) = self.user else { return Ok(()) };
        let own = self.program_directory();
        DirBuilder::new().mode(0o700).create(&own)?;
        chown(own, Some(user.uid), Some(user.gid))?;
        // The program can pass through, but not list it.
        fs::set_permissions(&self.directory, Permissions::from_mode(0o711))
    }

    /// User of the program, if it has its own.
    pub(super) fn user(&self) -> Option<UnitUser> {
        self.user
    }

    /// Directory of the program's own files.
    pub(super) fn program_directory(&self) -> PathBuf {
        match self.user {
            None => self.directory.clone(),
            Some(_) => self.directory.join(PROGRAM_DIRECTORY),
        }
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("configuration")
    }

    /// Writes a configuration that takes effect only when it is [committed](Self::commit). Returns
    /// its path.
    pub(super) fn stage(&self, text: &str) -> io::Result<PathBuf> {
        let staged = self.directory.join("configuration.new");
        let mut options = private_file();
        options.write(true).create(true).truncate(true);
        let mut file = meridian_durable::open(&staged, &options)?;
        file.write_all(text.as_bytes())?;
        if let Some(user) = self.user {
            fchown(&file, Some(user.uid), Some(user.gid))?;
        }
        file.sync_data()?;
        Ok(staged)
    }

    /// Replaces the configuration with the staged one.
    pub(super) fn commit(&self) -> io::Result<()> {
        fs::rename(self.directory.join("configuration.new"), self.configuration())
    }

    /// True if the configuration file already contains `text`.
    pub(super) fn configuration_is(&self, text: &str) -> bool {
        fs::read(self.configuration()).is_ok_and(|found| found == text.as_bytes())
    }

    /// Records the revision that the program serves.
    pub(super) fn record_served(&self, revision: Revision) -> io::Result<()> {
        checked_file::replace(&self.directory, SERVED, &Served { version: Version, revision })
    }

    /// Returns the revision that the program serves, if known.
    pub(super) fn served(&self) -> Option<Revision> {
        checked_file::read::<Served>(&self.directory.join(SERVED))
            .ok()
            .map(|served| served.revision)
    }

    /// Records that the program is being stopped.
    pub(super) fn record_stopping(&self) -> io::Result<()> {
        let stopping = self.directory.join(STOPPING);
        meridian_durable::open(&stopping, private_file().write(true).create(true)).map(drop)
    }

    /// True if the stop of the program was recorded.
    pub(super) fn is_stopping(&self) -> bool {
        self.directory.join(STOPPING).exists()
    }
}
