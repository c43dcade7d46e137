//! Where the desired set outlives the agent: a file, or what a simulation puts in its place.

use std::fs;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::durable;

/// Keeps a few bytes, as a whole.
#[async_trait]
pub trait Keep: Send + Sync {
    /// Where that is, for people.
    fn path(&self) -> PathBuf;

    /// What was kept last, if anything was. It survives the loss of power from then on, also where a
    /// crash had cut the call short that kept it. May block; it is read once, before anything else.
    ///
    /// # Errors
    /// If it cannot be read, or that cannot be promised.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces it, and returns once the new bytes survive the loss of power. Until then, a crash
    /// leaves the old or the new ones, never a mix.
    ///
    /// # Errors
    /// If that cannot be promised.
    async fn replace(&self, bytes: Vec<u8>) -> io::Result<()>;
}

/// A file in a directory.
#[derive(Debug)]
pub(crate) struct KeptFile {
    pub(crate) directory: PathBuf,
    pub(crate) name: &'static str,
}

#[async_trait]
impl Keep for KeptFile {
    fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let bytes = match fs::read(self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Its content was synced before it got its name, and the name perhaps never was.
        fs::File::open(&self.directory)?.sync_all()?;
        Ok(Some(bytes))
    }

    async fn replace(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (directory, name) = (self.directory.clone(), self.name);
        let replace = move || durable::replace_bytes(&directory, name, &bytes);
        let replaced = tokio::task::spawn_blocking(replace).await;
        replaced.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}
