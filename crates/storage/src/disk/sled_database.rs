//! Derived store on sled, with the measures that make its syncs durable.
//!
//! ```text
//! database/db        sled's log of pages          database/blobs/   pages with large values
//! database/conf      fixed at creation            database/snap.*   sled's index of the log
//! database.new       exists while the directory is created: if it exists, creation starts over
//! ```
//!
//! sled ends its log silently at the first checksum that does not match, and its `flush` does not
//! reach the disk. So a reopened database may have less in it than was written, which its owner
//! checks, and this module syncs the files itself:
//!
//! - sled fails to open what a crash leaves of a database that was just being created. So the file
//!   `database.new` exists next to the directory during creation. A directory with that file next
//!   to it has never been used.
//! - sled fails to open when a crash has left a partial index, which it treats as the newest one.
//!   So partial indexes (`snap.*.generating`) are removed before opening. The previous index and
//!   the log have all of their content.
//! - Everything in the directory is synced before opening: what sled writes while opening must not
//!   refer to bytes that the next power loss removes.
//! - A sync is sled's flush followed by `fdatasync` of `db` through a separate file handle.
//! - sled never syncs `blobs/`, where it moves pages with large values. So values are limited to
//!   [`MAX_VALUE_BYTES`], and segments are large.
//! - All writes go to one tree: a batch is atomic only within one. The caller serializes
//!   writes and syncs.
//! - sled panics on some kinds of damage: a panic becomes an error that names the directory. It
//!   also panics when it is dropped while the disk fails: after the first error it is not dropped.
//! - Pages that a batch replaced are freed explicitly (`free_replaced_pages`).
//! - Opening allocates a segment of 8 MiB immediately, even if little is stored. The minimum free
//!   disk space of a node is far above that.
//!
//! # Upgrades
//!
//! The values carry their own versions (see [`crate::codec`]). A different database would be a
//! directory with another name, filled from log, snapshot and peers.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use error_reporter::Report;

use crate::disk::database::{Batch, Database};
use crate::fuse::{Fuse, panic_message};
use meridian_durable::{self as durable, FileError, naming};

/// Maximum size of a value in bytes. sled moves a page above a quarter of a segment to a separate
/// file, and a page holds several values. Callers split larger values.
pub const MAX_VALUE_BYTES: usize = 64 << 10;

/// Size of a sled segment. Fixed when a database is created.
const SEGMENT_BYTES: usize = 8 << 20;
/// Size of the page cache, as sled counts it: in memory, pages of small rows take more than twice as much.
/// The state is held in memory by its owner, and the newest events by the event log, so the cache serves
/// readers of older events alone.
const CACHE_BYTES: u64 = 8 << 20;

/// Changes of a batch for each run of the collector: half as many as it keeps up with.
const CHANGES_PER_COLLECTION: usize = 64;

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// sled returned an error or panicked.
    #[error(
        "cannot open the database in {}: {cause}; \
         wipe the data directory and join as a new node",
        path.display()
    )]
    Sled {
        /// Directory of the database.
        path: PathBuf,
        /// Error of sled.
        cause: String,
    },
    /// The operating system returned an error.
    #[error(transparent)]
    File(#[from] FileError),
}

/// [`Database`] on sled, in its own directory.
pub struct SledDatabase {
    /// `None` only while it is dropped.
    database: Option<sled::Db>,
    path: PathBuf,
    /// Own handle of the file `db`: sled does not expose its handle.
    file: File,
    fuse: Fuse,
}

impl SledDatabase {
    /// Opens the database in the directory at `path`. Creates it, durably, if it is missing. The
    /// first error of an operation blows `fuse`.
    ///
    /// # Errors
    /// If sled detects damage, or the operating system returns an error.
    pub fn open(path: &Path, fuse: Fuse) -> Result<Self, OpenError> {
        let creation = path.with_extension("new");
        let created = start_creation(path, &creation)?;
        durable::create_directory(path)?;
        remove_partial_indexes(path)?;
        sync_everything(path)?;
        let config = sled::Config::new()
            .path(path)
            .flush_every_ms(None)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES);
        let database = without_panic(|| config.open()).map_err(|error| {
            if crate::disk::is_remediable(&error) {
                return naming("open the database in", path)(error).into();
            }
            OpenError::Sled { path: path.to_path_buf(), cause: error.to_string() }
        })?;
        sync_everything(path)?;
        durable::sync_parent(path)?;
        if created {
            std::fs::remove_file(&creation).map_err(naming("remove", &creation))?;
            durable::sync_parent(&creation)?;
        }
        let file = path.join("db");
        let file = File::open(&file).map_err(naming("open", &file))?;
        Ok(Self { database: Some(database), path: path.to_path_buf(), file, fuse })
    }

    /// Runs `action` unless the node has stopped. The first error stops the node.
    fn guarded<T>(
        &self,
        name: &str,
        action: impl FnOnce(&sled::Db) -> Result<T, sled::Error>,
    ) -> io::Result<T> {
        self.fuse.check()?;
        let database = self.database.as_ref().expect("is present until it is dropped");
        without_panic(|| action(database)).map_err(|cause| {
            let error = format!("cannot {name} the database in {}: {cause}", self.path.display());
            self.fail(io::Error::new(cause.kind(), error))
        })
    }

    fn fail(&self, error: io::Error) -> io::Error {
        self.fuse.blow(Report::new(&error));
        error
    }

    fn check_value_sizes(&self, batch: &Batch) -> io::Result<()> {
        for (key, value) in &batch.changes {
            let bytes = value.as_ref().map_or(0, Vec::len);
            if bytes > MAX_VALUE_BYTES {
                return Err(self.fail(io::Error::other(format!(
                    "value of {bytes} bytes for the key {} exceeds the limit of \
                     {MAX_VALUE_BYTES} bytes",
                    key.escape_ascii()
                ))));
            }
        }
        Ok(())
    }
}

impl Database for SledDatabase {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = self.guarded("read", |database| database.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.guarded("read", |database| {
            let row = |row: Result<(sled::IVec, sled::IVec), _>| {
                row.map(|(key, value)| (key.to_vec(), value.to_vec()))
            };
            database.range(from..to).take(limit).map(row).collect()
        })
    }

    fn write(&self, batch: Batch) -> io::Result<()> {
        self.check_value_sizes(&batch)?;
        let count = batch.changes.len();
        let mut changes = sled::Batch::default();
        for (key, value) in batch.changes {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.guarded("write", |database| database.apply_batch(changes))?;
        free_replaced_pages(count);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.guarded("sync", |database| {
            database.flush()?;
            self.file.sync_data().map_err(sled::Error::Io)
        })
    }
}

impl Drop for SledDatabase {
    /// sled writes what is pending when it is dropped, and panics if it cannot.
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        if self.fuse.cause().is_some() {
            // Nothing may be written anymore. The exit of the process releases sled's lock.
            std::mem::forget(database);
        } else if let Err(cause) = without_panic(|| {
            drop(database);
            Ok(())
        }) {
            let path = self.path.display();
            self.fail(io::Error::other(format!("cannot close the database in {path}: {cause}")));
        }
    }
}

/// Frees the pages that a batch of `changes` replaced.
///
/// sled frees them by crossbeam's epochs, whose collector runs once for every 128 operations of a thread
/// and then frees at most 512 objects. A batch is one operation and replaces several pages for each of
/// its changes, so that without this, batches of a thousand changes held a gigabyte after 160 of them.
fn free_replaced_pages(changes: usize) {
    for _ in 0..=changes / CHANGES_PER_COLLECTION {
        crossbeam_epoch::pin().flush();
    }
}

/// Creates the creation marker durably, if the directory at `path` does not exist or an earlier
/// creation was interrupted, whose directory is removed. Returns true in both cases.
fn start_creation(path: &Path, creation: &Path) -> Result<bool, FileError> {
    if creation.exists() {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(naming("remove", path)(error));
            }
            _ => {}
        }
    } else if path.exists() {
        return Ok(false);
    } else {
        durable::open(creation, durable::private_file().write(true).create(true))
            .map_err(naming("create", creation))?;
    }
    durable::sync_parent(creation)?;
    Ok(true)
}

/// Removes partial indexes, which sled was writing when the process ended.
fn remove_partial_indexes(directory: &Path) -> Result<(), FileError> {
    for entry in std::fs::read_dir(directory).map_err(naming("list", directory))? {
        let path = entry.map_err(naming("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(&path).map_err(naming("remove", &path))?;
        }
    }
    Ok(())
}

fn without_panic<T>(action: impl FnOnce() -> Result<T, sled::Error>) -> io::Result<T> {
    // The caller stops the node on error, so state left inconsistent by a panic is never used.
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(error),
        Ok(Err(error)) => Err(io::Error::other(error.to_string())),
        Err(panic) => {
            Err(io::Error::other(format!("sled panicked: {}", panic_message(panic.as_ref()))))
        }
    }
}

/// Syncs all files and directories in the directory, and the directory itself.
fn sync_everything(directory: &Path) -> Result<(), FileError> {
    for entry in std::fs::read_dir(directory).map_err(naming("list", directory))? {
        let path = entry.map_err(naming("list", directory))?.path();
        if path.is_dir() {
            sync_everything(&path)?;
        } else {
            durable::sync_file(&path)?;
        }
    }
    durable::sync_directory(directory)
}
