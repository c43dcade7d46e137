//! The derived store on sled, with the precautions that make a sync of it real.
//!
//! ```text
//! database/db        sled's log of pages          database/blobs/   pages that sled moved out
//! database/conf      fixed at creation            database/snap.*   sled's own index of the log
//! database.new       there while the folder is being created: it is begun anew then
//! ```
//!
//! sled ends its log at the first checksum that does not match, without an error, and its `flush`
//! does not reach the disk. So what comes out of it may be shorter than what went in, and its owner
//! checks that; and what is synced has to be synced by us:
//!
//! - sled refuses what a crash leaves of its first moments. So a file beside the folder says that it
//!   is being created, and a folder with that beside it has never been used.
//! - sled takes an index of which a crash left a part for its newest one, and refuses it: before
//!   opening, such parts (`snap.*.generating`) are removed. The index before, or the log, has it all.
//! - Before opening, everything in the folder is synced: what sled writes while opening must not
//!   refer to bytes that are not there after the next loss of power.
//! - A sync is sled's flush, then an `fdatasync` of `db` through a handle of our own.
//! - sled never syncs `blobs/`, and moves pages with large values there: values stay below
//!   [`MOST_VALUE_BYTES`], and segments are large.
//! - All writes go into one tree, for a batch is atomic only there, and one at a time together with
//!   the syncs.
//! - sled panics over some damage: a panic becomes an error that names the folder. So it does when it
//!   is dropped over a disk that fails: after the first error it is not dropped.
//! - Opening takes room for a segment at once, 8 MiB, also where little is stored. The floor under the
//!   free space of a node's disk is far above that.
//!
//! # Upgrades
//!
//! The values carry versions of their own (see [`crate::codec`]). Another database would be a
//! folder with another name, filled anew from log, snapshot and peers.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::disk::database::{Batch, Database};
use crate::disk::durable::{self, FileError, naming, with_causes};
use crate::fuse::Fuse;

/// Bytes of the largest value: sled moves a page above a quarter of a segment to a file of its own,
/// and a page holds several values. Callers split what is larger.
pub const MOST_VALUE_BYTES: usize = 64 << 10;

/// Fixed for the life of a database.
const SEGMENT_BYTES: usize = 8 << 20;
/// Memory for pages. The state is held in memory by its owner, so this serves the event log alone.
const CACHE_BYTES: u64 = 32 << 20;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// sled refuses or panicked.
    #[error(
        "the database in {} cannot be opened ({cause}); \
         wipe the data directory and join as a new node",
        path.display()
    )]
    Refused {
        /// The folder.
        path: PathBuf,
        /// What sled says.
        cause: String,
    },
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A [`Database`] in a folder of its own.
pub struct SledDatabase {
    /// There until it is dropped.
    database: Option<sled::Db>,
    path: PathBuf,
    /// `db`, once more: sled does not hand out its own.
    file: File,
    /// Held over each write and each sync.
    writing: Mutex<()>,
    fuse: Fuse,
}

impl SledDatabase {
    /// Opens the database in the folder at `path`, or creates it, durably. `fuse` is blown by its
    /// first error.
    ///
    /// # Errors
    /// If it is damaged in a way that sled notices, or the operating system refuses.
    pub fn open(path: &Path, fuse: Fuse) -> Result<Self, OpenError> {
        let creation = path.with_extension("new");
        let created = begin_creation(path, &creation)?;
        durable::create_directory(path)?;
        remove_unfinished_indexes(path)?;
        sync_everything(path)?;
        let config = sled::Config::new()
            .path(path)
            .flush_every_ms(None)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES);
        let database = without_panic(|| config.open()).map_err(|error| {
            // sled keeps the kind of what the system said, and only that.
            if durable::is_remediable(&error) {
                return naming("open the database in", path)(error).into();
            }
            OpenError::Refused { path: path.to_path_buf(), cause: error.to_string() }
        })?;
        sync_everything(path)?;
        durable::sync_parent(path)?;
        if created {
            std::fs::remove_file(&creation).map_err(naming("remove", &creation))?;
            durable::sync_parent(&creation)?;
        }
        let file = path.join("db");
        let file = File::open(&file).map_err(naming("open", &file))?;
        Ok(Self {
            database: Some(database),
            path: path.to_path_buf(),
            file,
            writing: Mutex::new(()),
            fuse,
        })
    }

    /// Runs `action`, unless the node has stopped; its first error stops the node.
    fn guarded<T>(
        &self,
        name: &str,
        action: impl FnOnce(&sled::Db) -> Result<T, sled::Error>,
    ) -> io::Result<T> {
        if let Some(cause) = self.fuse.cause() {
            return Err(io::Error::other(format!("this node has stopped: {cause}")));
        }
        let database = self.database.as_ref().expect("it is there until it is dropped");
        without_panic(|| action(database)).map_err(|cause| {
            let place = self.path.display();
            let error = format!("cannot {name} the database in {place}: {cause}");
            self.fail(io::Error::new(cause.kind(), error))
        })
    }

    fn fail(&self, error: io::Error) -> io::Error {
        self.fuse.blow(with_causes(&error));
        error
    }

    fn refuse_large_values(&self, batch: &Batch) -> io::Result<()> {
        for (key, value) in &batch.changes {
            let bytes = value.as_ref().map_or(0, Vec::len);
            if bytes > MOST_VALUE_BYTES {
                return Err(self.fail(io::Error::other(format!(
                    "a value of {bytes} bytes was to be written to the database under the key {}, \
                     and at most {MOST_VALUE_BYTES} can be",
                    key.escape_ascii()
                ))));
            }
        }
        Ok(())
    }
}

impl Database for SledDatabase {
    fn place(&self) -> String {
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
        self.refuse_large_values(&batch)?;
        let mut changes = sled::Batch::default();
        for (key, value) in batch.changes {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.guarded("write", |database| {
            let _alone = self.writing.lock().map_err(|_| poisoned())?;
            database.apply_batch(changes)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.guarded("sync", |database| {
            let _alone = self.writing.lock().map_err(|_| poisoned())?;
            database.flush()?;
            self.file.sync_data().map_err(sled::Error::Io)
        })
    }
}

impl Drop for SledDatabase {
    /// sled writes what is left when it is dropped, and panics where it cannot.
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        if self.fuse.cause().is_some() {
            // Nothing is written any more. The process is about to end, and its lock with it.
            std::mem::forget(database);
        } else if let Err(cause) = without_panic(|| {
            drop(database);
            Ok(())
        }) {
            self.fail(io::Error::other(format!(
                "cannot close the database in {}: {cause}",
                self.path.display()
            )));
        }
    }
}

/// Notes durably that the folder at `path` is being created, if it is: where it is missing, or where
/// an earlier creation was cut off, whose folder is removed.
fn begin_creation(path: &Path, creation: &Path) -> Result<bool, FileError> {
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
        File::create(creation).map_err(naming("create", creation))?;
    }
    durable::sync_parent(creation)?;
    Ok(true)
}

/// Removes what sled was writing as its next index when the process ended.
fn remove_unfinished_indexes(folder: &Path) -> Result<(), FileError> {
    for entry in std::fs::read_dir(folder).map_err(naming("list", folder))? {
        let path = entry.map_err(naming("list", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(&path).map_err(naming("remove", &path))?;
        }
    }
    Ok(())
}

fn poisoned() -> sled::Error {
    sled::Error::Io(io::Error::other("an earlier write panicked"))
}

fn without_panic<T>(action: impl FnOnce() -> Result<T, sled::Error>) -> io::Result<T> {
    // Whatever a panic leaves half done is never used again: the caller stops the node.
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(error),
        Ok(Err(error)) => Err(io::Error::other(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or(panic.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("without a message");
            Err(io::Error::other(format!("sled panicked: {text}")))
        }
    }
}

/// Syncs all that is in the folder, and the folder.
fn sync_everything(folder: &Path) -> Result<(), FileError> {
    for entry in std::fs::read_dir(folder).map_err(naming("list", folder))? {
        let path = entry.map_err(naming("list", folder))?.path();
        if path.is_dir() {
            sync_everything(&path)?;
        } else {
            durable::sync_file(&path)?;
        }
    }
    durable::sync_directory(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(changes: &[(&str, Option<&[u8]>)]) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(*key, *value),
                None => batch.remove(*key),
            }
        }
        batch
    }

    fn keys(database: &SledDatabase, from: &str, to: &str, limit: usize) -> Vec<String> {
        let rows = database.scan(from.as_bytes(), to.as_bytes(), limit).expect("can be read");
        rows.into_iter().map(|(key, _)| String::from_utf8(key).expect("is text")).collect()
    }

    #[test]
    fn what_was_written_is_there_after_a_reopen() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("database");
        let database = SledDatabase::open(&path, Fuse::default()).expect("is new");
        let rows: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("b", Some(b"2")), ("c", None)];
        database.write(batch(&rows)).expect("can be written");
        database.write(batch(&[("a", None), ("c", Some(b"3"))])).expect("can be written");
        database.sync().expect("can be synced");
        drop(database);

        let database = SledDatabase::open(&path, Fuse::default()).expect("is whole");
        assert_eq!(database.get(b"a").expect("can be read"), None);
        assert_eq!(database.get(b"b").expect("can be read"), Some(b"2".to_vec()));
        assert_eq!(keys(&database, "a", "z", 10), ["b", "c"]);
        assert_eq!(keys(&database, "a", "z", 1), ["b"]);
        assert_eq!(keys(&database, "a", "c", 10), ["b"]);
        assert_eq!(keys(&database, "z", "a", 10), [""; 0]);
    }

    #[test]
    fn a_value_that_is_too_large_stops_the_node() {
        let folder = tempfile::tempdir().expect("a directory");
        let fuse = Fuse::default();
        let database = SledDatabase::open(folder.path(), fuse.clone()).expect("is new");
        let largest = vec![0; MOST_VALUE_BYTES];
        database.write(batch(&[("a", Some(&largest))])).expect("is not too large");
        let larger = vec![0; MOST_VALUE_BYTES + 1];
        database.write(batch(&[("a", Some(&larger))])).expect_err("is too large");
        assert!(fuse.cause().expect("has blown").contains("65537 bytes"));
        database.get(b"a").expect_err("the node has stopped");
    }

    #[test]
    fn a_creation_that_was_cut_off_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("database");
        let creation = path.with_extension("new");
        std::fs::write(&creation, b"").expect("can be written");
        std::fs::create_dir(&path).expect("is new");
        std::fs::write(path.join("conf"), b"").expect("can be written");
        let database = SledDatabase::open(&path, Fuse::default()).expect("is begun anew");
        database.write(batch(&[("a", Some(b"1"))])).expect("can be written");
        database.sync().expect("can be synced");
        assert!(!creation.exists());
        drop(database);
        let database = SledDatabase::open(&path, Fuse::default()).expect("is whole");
        assert_eq!(database.get(b"a").expect("can be read"), Some(b"1".to_vec()));
    }

    #[test]
    fn an_index_that_was_being_written_is_not_missed() {
        let folder = tempfile::tempdir().expect("a directory");
        let database = SledDatabase::open(folder.path(), Fuse::default()).expect("is new");
        database.write(batch(&[("a", Some(b"1"))])).expect("can be written");
        database.sync().expect("can be synced");
        drop(database);
        let part = folder.path().join("snap.00000000FFFFFFFF.generating");
        std::fs::write(&part, b"a part").expect("can be written");
        let database = SledDatabase::open(folder.path(), Fuse::default()).expect("is whole");
        assert_eq!(database.get(b"a").expect("can be read"), Some(b"1".to_vec()));
        assert!(!part.exists());
    }

    #[test]
    fn a_folder_that_sled_cannot_open_is_named() {
        let folder = tempfile::tempdir().expect("a directory");
        std::fs::write(folder.path().join("conf"), b"no configuration").expect("can be written");
        let Err(error) = SledDatabase::open(folder.path(), Fuse::default()) else {
            panic!("a damaged database was opened");
        };
        let error = error.to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        assert!(error.contains("join as a new node"), "{error}");
    }
}
