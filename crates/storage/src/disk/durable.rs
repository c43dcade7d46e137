//! Files and directories that are there after the power was cut.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub cause: io::Error,
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::new(error.cause.kind(), error)
    }
}

/// Names the file in an error.
pub(crate) fn naming<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |cause| FileError { action, path: path.to_path_buf(), cause }
}

/// Whether it is not the data that is at fault: with room, rights, memory or descriptors, the same
/// succeeds.
pub(crate) fn is_remediable(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, ReadOnlyFilesystem, WouldBlock};
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let room = matches!(error.kind(), StorageFull | QuotaExceeded | OutOfMemory | WouldBlock);
    let descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let lacking = error.raw_os_error().is_some_and(|code| descriptors.contains(&code));
    room || lacking || matches!(error.kind(), ReadOnlyFilesystem | PermissionDenied)
}

/// An error with all its causes, in one line: the fuse and the log show nothing else of it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Makes the names in a directory durable: those created, renamed or removed.
///
/// # Errors
/// If that cannot be promised.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(naming("sync", path))
}

/// Makes the name of `path` itself durable, by a sync of the directory that it stands in.
///
/// # Errors
/// If that cannot be promised.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Makes a file's content durable.
///
/// # Errors
/// If that cannot be promised.
pub fn sync_file(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(naming("sync", path))
}

/// Creates a directory and those above it, as far as they are missing, durably. One that was there
/// is synced into its parent nevertheless: an earlier run may have been cut off in between.
///
/// # Errors
/// If one cannot be created, or not durably.
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

/// Puts `bytes` into the file at `path`, as a whole or, if power is lost meanwhile, not at all.
///
/// # Errors
/// If that cannot be promised.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let fresh = path.with_extension("new");
    File::create(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(naming("write", &fresh))?;
    fs::rename(&fresh, path).map_err(naming("rename to", path))?;
    sync_parent(path)
}
