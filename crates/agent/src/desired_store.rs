//! Durable storage of the desired set: a file, or a simulated disk in tests.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;

/// Stores one value of a few kilobytes as a whole.
#[async_trait]
pub trait DesiredStore: Send + Sync {
    /// Path of the store, for messages.
    fn path(&self) -> PathBuf;

    /// Returns the last value stored, or `None` if there is none. The value returned survives a
    /// power failure, even if the [`replace`](Self::replace) that wrote it was interrupted by a
    /// crash. May block; called once, before anything else.
    ///
    /// # Errors
    /// If the value cannot be read or made durable.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the value, and returns once the new one survives a power failure. A crash before
    /// that leaves the old or the new value, never a mix.
    ///
    /// # Errors
    /// If the new value cannot be made durable. Either value may then be in place.
    async fn replace(&self, bytes: Vec<u8>) -> io::Result<()>;
}

/// Stores the value as a file.
#[derive(Debug)]
pub(crate) struct FileStore {
    pub(crate) directory: PathBuf,
    pub(crate) name: &'static str,
}

#[async_trait]
impl DesiredStore for FileStore {
    fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let bytes = match meridian_durable::read(&self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The content was synced before the rename; the directory entry may not have been.
        meridian_durable::sync_directory(&self.directory)?;
        Ok(Some(bytes))
    }

    async fn replace(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (directory, name) = (self.directory.clone(), self.name);
        let replace = move || meridian_durable::replace_file(&directory.join(name), &bytes);
        let replaced = tokio::task::spawn_blocking(replace).await;
        let replaced =
            replaced.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        Ok(replaced?)
    }
}
