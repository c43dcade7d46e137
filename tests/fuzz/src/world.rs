//! What decoders need around them.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::fuse::Fuse;
use meridian_storage::store::{OpenError, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Drives what is asynchronous.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a thread can be started")
});

/// A new directory, in memory where the system has such: nothing here is to survive anything.
pub fn directory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).expect("a directory can be made")
}

/// A node's derived store.
pub struct Node {
    pub store: Store,
    /// What says that the Raft log holds everything.
    _flushed: watch::Sender<Option<u64>>,
}

impl Node {
    /// The store on `database`, beside a Raft log that holds everything.
    pub fn open(database: &MemoryDatabase) -> Result<Self, OpenError> {
        let _context = RUNTIME.enter();
        let flushed = watch::Sender::new(Some(u64::MAX));
        let database = Arc::new(database.clone());
        let opened = Store::open(database, flushed.subscribe(), Arc::default(), Fuse::default());
        opened.map(|(store, _)| Self { store, _flushed: flushed })
    }
}
