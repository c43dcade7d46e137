//! Data directory of a development cluster.
//!
//! ```text
//! .meridian/
//!   dev.lock                 locked by the running `meridian dev`; has its pid
//!   dev.toml                 layout of the cluster
//!   westeurope/agent.toml    configuration of an agent: written once, may be edited
//!   westeurope/agent.log     log of the agent
//!   westeurope/data/         data directory of the agent
//! ```
//!
//! `dev.toml` and `agent.toml` are replaced durably: after a power cut, each is absent or complete. The
//! layout is written first, because the configurations are derived from it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian_durable::{FileError, private_file};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::layout::{Layout, Plan};
use super::screen;
use crate::config::key::find;
use crate::config::render;
use crate::config::values::{Origin, Values};
use crate::daemon::RUN_DIRECTORY;

/// Name of the file with the layout.
const LAYOUT: &str = "dev.toml";
/// Name of the lock file.
const LOCK: &str = "dev.lock";
/// Interval of checks that the directory still exists.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Reason why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another `meridian dev` runs in the directory.
    #[error("another `meridian dev` runs in {}{}", path.display(), by(*holder))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Pid of the other process, if it is known.
        holder: Option<u32>,
    },
    /// A file is empty or filled with zeros.
    #[error("{} is empty: an earlier run was interrupted while writing it", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
    },
    /// The layout is invalid.
    #[error("{} is incomplete or invalid: {cause}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The syntax error.
        cause: String,
    },
    /// The operating system returned an error.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file cannot be written durably.
    #[error(transparent)]
    Write {
        /// The failed operation.
        error: FileError,
    },
}

impl From<FileError> for DirectoryError {
    fn from(error: FileError) -> Self {
        Self::Write { error }
    }
}

impl DirectoryError {
    /// Returns the next step for the user, in one line.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::InUse { .. } => {
                "stop it, or use another --data-dir and --address-base".to_owned()
            }
            Self::Torn { path } | Self::Layout { path, .. } if path.ends_with(LAYOUT) => format!(
                "remove {} and run `meridian dev` again with the same flags as before: it rewrites the \
                 file and keeps all data",
                path.display()
            ),
            Self::Torn { path } | Self::Layout { path, .. } => format!(
                "remove {} and run `meridian dev` again: it rewrites the file",
                path.display()
            ),
            Self::File { .. } | Self::Write { .. } => {
                "check the directory and its permissions, or use another --data-dir".to_owned()
            }
        }
    }
}

fn by(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" as process {pid}"))
}

/// Reads the layout stored in a data directory; `None` if there is none.
///
/// # Errors
/// If the file cannot be read or is invalid.
pub fn stored_layout(directory: &Path) -> Result<Option<Layout>, DirectoryError> {
    let path = directory.join(LAYOUT);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DirectoryError::File { path, source }),
    };
    if is_torn(&text) {
        return Err(DirectoryError::Torn { path });
    }
    let layout = toml::from_str(&text).map_err(|error| DirectoryError::Layout {
        path,
        cause: error.message().replace('\n', ", "),
    })?;
    Ok(Some(layout))
}

/// Returns true for what a power cut leaves of a file that was not synced: nothing, or zeros.
fn is_torn(text: &str) -> bool {
    text.chars().all(|c| c == '\0' || c.is_whitespace())
}

/// A data directory that this process holds exclusively until it exits.
#[derive(Debug)]
pub struct DevDirectory {
    path: PathBuf,
    /// The path without symbolic links.
    real_path: PathBuf,
    lock: File,
}

impl DevDirectory {
    /// Creates the directory if it does not exist, and locks it.
    ///
    /// # Errors
    /// If another `meridian dev` holds the directory, or it cannot be used.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let path = std::path::absolute(path).map_err(naming(path))?;
        meridian_durable::create_directory(&path)?;
        if meridian_durable::claim_directory(&path)? {
            let path = path.display();
            screen::note(&format!("{path} was accessible to other users; now only to this one"));
        }
        let real_path = path.canonicalize().map_err(naming(&path))?;
        let lock = lock(&path)?;
        Ok(Self { path, real_path, lock })
    }

    /// Returns the absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directories in which the units of the agents run, without symbolic links. If the
    /// data directory was moved, returns both the earlier and the current ones.
    #[must_use]
    pub fn run_paths(&self, plans: &[Plan]) -> Vec<PathBuf> {
        let lock = format!("/proc/self/fd/{}", self.lock.as_raw_fd());
        let current =
            std::fs::read_link(lock).ok().and_then(|path| Some(path.parent()?.to_owned()));
        let moved = current.filter(|current| *current != self.real_path);
        let roots: Vec<_> = std::iter::once(self.real_path.clone()).chain(moved).collect();
        let paths = plans.iter().map(|plan| data_path(plan).join(RUN_DIRECTORY));
        let relative =
            paths.filter_map(|path| Some(path.strip_prefix(&self.path).ok()?.to_owned()));
        relative.flat_map(|path| roots.iter().map(move |root| root.join(&path))).collect()
    }

    /// Stores the layout, and writes the configuration of each agent that has none. Durable once it
    /// returns.
    ///
    /// # Errors
    /// If a file cannot be written, or a configuration was left empty by an earlier run.
    pub fn store(&self, layout: &Layout, plans: &[Plan]) -> Result<(), DirectoryError> {
        let path = self.path.join(LAYOUT);
        let text = toml::to_string(layout).map_err(|error| DirectoryError::Layout {
            path: path.clone(),
            cause: error.to_string(),
        })?;
        meridian_durable::replace_file(&path, text.as_bytes())?;
        for plan in plans {
            meridian_durable::create_directory(&plan.directory)?;
            let path = config_path(plan);
            match std::fs::read_to_string(&path) {
                Ok(text) if is_torn(&text) => return Err(DirectoryError::Torn { path }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let text = render::file(HEAD, &values(layout, plans, plan));
                    meridian_durable::replace_file(&path, text.as_bytes())?;
                }
                // The agent itself reports what is wrong with an edited file.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Returns once the directory was removed, moved or replaced. Cancel-safe.
    pub async fn removed(&self) {
        while self.is_present() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn is_present(&self) -> bool {
        let locked = self.lock.metadata().map(|file| (file.dev(), file.ino()));
        let named = std::fs::metadata(self.path.join(LOCK)).map(|file| (file.dev(), file.ino()));
        match (locked, named) {
            (Ok(locked), Ok(named)) => locked == named,
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            (Err(_), Ok(_)) => true,
        }
    }
}

const HEAD: &str = "\
Configuration of an agent of a development cluster, written by the first run of `meridian dev`. Edit it \
as needed: `meridian dev` does not overwrite it.";

/// Returns the path of an agent's configuration.
#[must_use]
pub fn config_path(plan: &Plan) -> PathBuf {
    plan.directory.join("agent.toml")
}

/// Returns the path of an agent's log.
#[must_use]
pub fn log_path(plan: &Plan) -> PathBuf {
    plan.directory.join("agent.log")
}

/// Returns the path of an agent's data directory.
#[must_use]
pub fn data_path(plan: &Plan) -> PathBuf {
    plan.directory.join("data")
}

fn values(layout: &Layout, plans: &[Plan], plan: &Plan) -> Values {
    let at = |port: u16| vec![format!("{}:{port}", plan.address)];
    let peers = plans.iter().map(|plan| format!("{}:{}", plan.address, layout.peer_port));
    let bootstrap = plans.first().is_some_and(|first| first.name == plan.name);
    let one = |text: &dyn ToString| vec![text.to_string()];
    let mut values = Values::default();
    for (name, texts) in [
        ("name", one(&plan.name)),
        ("region", one(&plan.region)),
        ("witness", one(&plan.witness)),
        ("data_dir", one(&"data")),
        ("network", one(&"lan")),
        ("client_listen", at(layout.client_port)),
        ("peer_listen", at(layout.peer_port)),
        ("http_listen", at(layout.http_port)),
        ("dns_listen", at(layout.dns_port)),
        ("gateway_listen", one(&plan.address)),
        ("bootstrap_peers", peers.collect()),
        ("bootstrap", one(&bootstrap)),
    ] {
        let key = find(name).expect("these are keys");
        values.set(key, texts, Origin::Default);
    }
    values
}

fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join(LOCK);
    let mut options = private_file();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(naming(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // The pid only informs the user; the error is clear without it.
            let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(DirectoryError::InUse { path: directory.to_path_buf(), holder });
        }
        Err(errno) => return Err(DirectoryError::File { path, source: errno.into() }),
    }
    // Written in place, because the lock belongs to this file and not to its name.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(naming(&path))?;
    Ok(file)
}

fn naming(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_path_buf();
    move |source| DirectoryError::File { path, source }
}

#[cfg(test)]
mod tests;
