//! The environment of decoders.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::fuse::Fuse;
use meridian_storage::store::{OpenError, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Runtime of asynchronous code.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("the runtime is built")
});

/// Creates a temporary directory, in memory if possible.
pub fn directory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a temporary directory")
}

/// The derived store of a node.
pub struct Node {
    pub store: Store,
    /// Reports that all entries of the Raft log are durable.
    _flushed: watch::Sender<Option<u64>>,
}

impl Node {
    /// Opens the store on `database`, with a Raft log that is completely durable.
    pub fn open(database: &MemoryDatabase) -> Result<Self, OpenError> {
        let _context = RUNTIME.enter();
        let flushed = watch::Sender::new(Some(u64::MAX));
        let database = Arc::new(database.clone());
        let opened = Store::open(database, flushed.subscribe(), Arc::default(), Fuse::default());
        opened.map(|(store, _)| Self { store, _flushed: flushed })
    }
}
