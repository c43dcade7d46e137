//! Durable file operations: files and directories that survive a crash and a power loss. Knows nothing
//! of what files contain.
//!
//! A file is durable only when two things have reached the disk: its content (`fsync` of the file)
//! and its name (`fsync` of the directory that contains it). Each function returns only after the
//! part that it is responsible for has been synced:
//!
//! | function | makes durable |
//! | --- | --- |
//! | [`replace_file`] | the content and the name of a file, atomically |
//! | [`create_directory`] | a directory and the missing directories above it |
//! | [`sync_file`] | the content of a file |
//! | [`sync_directory`] | the names in a directory |
//! | [`sync_parent`] | the name of a file or directory |
//!
//! What they create is accessible only to the user of this process, and [`claim_directory`] ensures
//! the same of what exists.
//!
//! All functions block the thread. Errors are [`FileError`]s, which state the action and the path.
//!
//! A lack of descriptors or memory passes. So these functions [`retry`] to open a file for up to 2 s
//! before they fail. Nothing else is retried: after a write or a sync that failed, nobody knows what
//! is on the disk.

mod private;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

pub use private::{claim_contents, claim_directory, private_file};

/// Maximum time for which opening a file is retried.
const RETRY_LIMIT: Duration = Duration::from_secs(2);
/// First and maximum delay between two attempts. Each attempt doubles the delay.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Failed operation on a file or directory, with its path.
///
/// The message does not contain the cause, which is the [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// Operation that failed, as a verb: completes "cannot ... `path`".
    pub action: &'static str,
    /// File or directory.
    pub path: PathBuf,
    /// Error of the operating system.
    #[source]
    pub cause: io::Error,
}

impl From<FileError> for io::Error {
    /// Keeps the [`io::ErrorKind`] of the cause.
    fn from(error: FileError) -> Self {
        Self::new(error.cause.kind(), error)
    }
}

/// Returns a closure for `map_err` that adds the action and the path to an I/O error.
pub fn naming<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |cause| FileError { action, path: path.to_path_buf(), cause }
}

/// Returns true if the environment caused the error, not the data: the operation can succeed once
/// there is disk space, quota, memory, permission, a writable file system or a free file
/// descriptor.
#[must_use]
pub fn is_remediable(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, ReadOnlyFilesystem, WouldBlock};
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    is_transient(error)
        || io_errors(error).any(|error| {
            let exhausted = [StorageFull, QuotaExceeded, OutOfMemory, WouldBlock];
            exhausted.contains(&error.kind())
                || matches!(error.kind(), ReadOnlyFilesystem | PermissionDenied)
        })
}

/// Returns true if the cause is a lack of file descriptors, memory or buffers, which passes without
/// a repair.
#[must_use]
pub fn is_transient(error: &(dyn Error + 'static)) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN];
    let codes = codes.map(Errno::raw_os_error);
    io_errors(error).filter_map(io::Error::raw_os_error).any(|code| codes.contains(&code))
}

/// Returns the I/O errors among an error and its causes.
fn io_errors<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a io::Error> {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.filter_map(|error| error.downcast_ref::<io::Error>())
}

/// Runs `operation`, and runs it again while it fails for a transient cause ([`is_transient`]), for
/// at most 2 s. Meant for operations that can be repeated, such as opening a file.
///
/// # Errors
/// The last error of `operation`.
pub fn retry<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + RETRY_LIMIT;
    let mut delay = RETRY_DELAYS.0;
    loop {
        match operation() {
            Err(error) if is_transient(&error) && Instant::now() < deadline => {
                std::thread::sleep(delay);
                delay = (delay * 2).min(RETRY_DELAYS.1);
            }
            result => return result,
        }
    }
}

/// Opens a file.
///
/// # Errors
/// That of the operating system.
pub fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    retry(|| options.open(path))
}

/// Reads a file.
///
/// # Errors
/// That of the operating system.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Syncs a directory: makes the creation, renaming and removal of the entries in it durable.
///
/// # Errors
/// If the directory cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    let directory = open(path, OpenOptions::new().read(true));
    directory.and_then(|directory| directory.sync_all()).map_err(naming("sync", path))
}

/// Syncs the directory that contains `path`: makes the name of `path` itself durable.
///
/// # Errors
/// If the parent directory cannot be opened or synced.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Syncs a file: makes its content durable, but not its name.
///
/// # Errors
/// If the file cannot be opened or synced.
pub fn sync_file(path: &Path) -> Result<(), FileError> {
    let file = open(path, OpenOptions::new().read(true));
    file.and_then(|file| file.sync_all()).map_err(naming("sync", path))
}

/// Creates a directory and its missing parents, durably.
///
/// If `path` already exists, it is also synced into its parent: an earlier process may have crashed
/// after creating it and before syncing it. If this process may not read the parent, another one
/// created the directory, for example a service manager. Of the directories above `path`, those that
/// already exist are not synced into their parents.
///
/// # Errors
/// If a directory cannot be created or synced.
pub fn create_directory(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        create_directory(parent)?;
    }
    let exists = match private::private_directory().create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => true,
        created => created.map(|()| false).map_err(naming("create the directory", path))?,
    };
    match sync_parent(path) {
        Err(error) if exists && error.cause.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Replaces the content of the file at `path` with `bytes`, atomically and durably. Creates the
/// file if it is missing.
///
/// The bytes are written and synced to a temporary file, named `path` with `.new` appended, which is
/// then renamed to `path`. After a crash, `path` has either the old content or the new one; a
/// temporary file may remain and is overwritten by the next call. Two writers must not replace the
/// same file at the same time.
///
/// # Errors
/// If the file cannot be written, renamed or synced. The content of `path` is then either the old
/// one or the new one.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    open(&fresh, private_file().write(true).create(true).truncate(true))
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(naming("write", &fresh))?;
    fs::rename(&fresh, path).map_err(naming("rename to", path))?;
    sync_parent(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_its_temporary_file_is_gone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("dev.toml");
        replace_file(&path, b"old").expect("is written");
        fs::write(directory.path().join("dev.toml.new"), "left by a crash").expect("is written");
        replace_file(&path, b"new").expect("is replaced");
        assert_eq!(fs::read(&path).expect("is readable"), b"new");
        let names = fs::read_dir(directory.path()).expect("is readable").flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["dev.toml"]);
    }

    #[test]
    fn a_lack_of_descriptors_is_transient_also_as_the_cause_of_other_errors() {
        let lack = || io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        let wrapped = io::Error::from(naming("write", Path::new("desired.new"))(lack()));
        assert!(is_transient(&lack()) && is_transient(&wrapped) && is_remediable(&wrapped));
        let full = io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        assert!(is_remediable(&full) && !is_transient(&full));
        let broken = io::Error::from_raw_os_error(Errno::IO.raw_os_error());
        assert!(!is_remediable(&broken) && !is_transient(&broken));
    }

    #[test]
    fn only_a_transient_error_is_retried() {
        let mut attempts = 0;
        let opened = retry(|| {
            attempts += 1;
            let code = if attempts < 3 { Errno::NFILE } else { Errno::IO };
            Err::<(), _>(io::Error::from_raw_os_error(code.raw_os_error()))
        });
        assert_eq!(opened.expect_err("fails").raw_os_error(), Some(Errno::IO.raw_os_error()));
        assert_eq!(attempts, 3);
    }

    #[test]
    fn an_error_states_the_action_and_the_path() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("missing/file");
        let error = replace_file(&path, b"").expect_err("has no directory");
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert!(error.to_string().ends_with("missing/file.new"), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }
}
