//! Copies of directories, and agents on them.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::agent::Agent;
use super::port;

/// Difference between the ports of a copy and those of the original.
const OFFSET: u16 = 100;

impl Agent {
    /// Copies the data directory of this agent, which is stopped. Returns an agent on the copy, at
    /// the same address with other ports, not running.
    ///
    /// # Errors
    /// If the agent is running or behind a proxy, or the files cannot be copied.
    pub fn copy(&self) -> anyhow::Result<Self> {
        ensure!(self.process()?.is_none(), "agent {} is running", self.name);
        let copy = self.at_home(self.home().with_extension("copy"))?;
        copy_directory(&self.data(), &copy.data()).context("cannot copy the data directory")?;
        let mut text = fs::read_to_string(self.config())?;
        for host in [self.address().to_string(), self.peer_host()] {
            for port in [port::CLIENT, port::PEER, port::MOVED_PEER, port::HTTP, port::DNS] {
                let at = |port| format!("\"{host}:{port}\"");
                text = text.replace(&at(port), &at(port + OFFSET));
            }
        }
        fs::write(copy.config(), text).context("cannot write the agent configuration")?;
        Ok(copy)
    }

    /// Removes the directory of a copy that is not running.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(self) -> anyhow::Result<()> {
        fs::remove_dir_all(self.home()).context("cannot remove the directory of the copy")
    }
}

/// Copies a directory with all files and directories that it contains.
///
/// # Errors
/// If one cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
