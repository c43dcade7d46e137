//! Durable file operations: files and directories that survive a crash and a power loss.
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
//! All functions block the thread. Errors are [`FileError`]s, which state the action and the path.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

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
pub(crate) fn naming<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |cause| FileError { action, path: path.to_path_buf(), cause }
}

/// Returns true if the environment caused the error, not the data: the operation can succeed once
/// there is disk space, quota, memory, permission, a writable file system or a free file
/// descriptor.
pub(crate) fn is_remediable(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, ReadOnlyFilesystem, WouldBlock};
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let exhausted = matches!(error.kind(), StorageFull | QuotaExceeded | OutOfMemory | WouldBlock);
    let descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let no_descriptor = error.raw_os_error().is_some_and(|code| descriptors.contains(&code));
    exhausted || no_descriptor || matches!(error.kind(), ReadOnlyFilesystem | PermissionDenied)
}

/// Syncs a directory: makes the creation, renaming and removal of the entries in it durable.
///
/// # Errors
/// If the directory cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(naming("sync", path))
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
    File::open(path).and_then(|file| file.sync_all()).map_err(naming("sync", path))
}

/// Creates a directory and its missing parents, durably.
///
/// A directory that already exists is also synced into its parent: an earlier process may have
/// crashed after creating it and before syncing it.
///
/// # Errors
/// If a directory cannot be created or synced.
pub fn create_directory(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        create_directory(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created.map_err(naming("create the directory", path))?,
    }
    sync_parent(path)
}

/// Replaces the content of the file at `path` with `bytes`, atomically and durably. Creates the
/// file if it is missing.
///
/// The bytes are written and synced to a temporary file, named like `path` with the extension
/// `new`, which is then renamed to `path`. After a crash, `path` has either the old content or the
/// new one; a temporary file may remain and is overwritten by the next call.
///
/// # Errors
/// If the file cannot be written, renamed or synced. The content of `path` is then either the old
/// one or the new one.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let fresh = path.with_extension("new");
    File::create(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(naming("write", &fresh))?;
    fs::rename(&fresh, path).map_err(naming("rename to", path))?;
    sync_parent(path)
}
