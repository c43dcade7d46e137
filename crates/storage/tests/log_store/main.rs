//! Raft log on real files: durability, damage and failures.

mod damage;
mod double;
mod durability;
mod failure;
mod hanging;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use meridian_domain::{ClusterId, NodeId};
use meridian_storage::disk::directory::{DataDirectory, Identity};
use meridian_storage::disk::journal::Journal;
use meridian_storage::disk::wal::{ChunkLimits, Wal, WalError};
use meridian_storage::fuse::Fuse;
use meridian_storage::log_store::LogStore;
use meridian_storage::raft::{Payload, TypeConfig};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::RaftLogStorageExt;
use openraft::{EntryPayload, RaftLogReader};
use tempfile::TempDir;
use uuid::Uuid;

const NODE: NodeId = NodeId(7);
const LARGE: ChunkLimits = ChunkLimits { bytes: 1 << 20, records: 10_000 };
/// Limits with which a few entries fill a chunk.
const SMALL: ChunkLimits = ChunkLimits { bytes: 1 << 20, records: 8 };

/// Data directory that is opened repeatedly.
struct LogDirectory {
    parent: TempDir,
}

/// Open log.
struct OpenLog {
    store: LogStore,
    fuse: Fuse,
    // Declared after the store, so that the lock is released last.
    _directory: DataDirectory,
}

impl LogDirectory {
    fn new() -> Self {
        Self { parent: tempfile::tempdir().expect("can create a directory") }
    }

    fn path(&self) -> &Path {
        self.parent.path()
    }

    fn open(&self, limits: ChunkLimits) -> Result<OpenLog, WalError> {
        let identity = Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NODE };
        let mut directory = DataDirectory::open(self.path()).expect("is not locked");
        directory.establish(identity).expect("has this identity");
        let fuse = Fuse::default();
        let wal = Wal::open(&directory, identity, limits, fuse.clone())?;
        Ok(OpenLog { store: store(Box::new(wal), &fuse), fuse, _directory: directory })
    }

    /// Returns the error message of a log that fails to open, with its causes.
    fn open_error(&self) -> String {
        let Err(error) = self.open(LARGE) else {
            panic!("a damaged log was opened");
        };
        error_reporter::Report::new(error).to_string()
    }

    fn chunks(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join("raft-log")).expect("the log exists");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("can be listed").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
            .collect();
        paths.sort();
        paths
    }

    /// Changes the bytes of the chunk with this number, counted from the oldest.
    fn alter_chunk(&self, number: usize, alter: impl FnOnce(&mut Vec<u8>)) {
        let path = &self.chunks()[number];
        let mut bytes = std::fs::read(path).expect("exists");
        alter(&mut bytes);
        std::fs::write(path, bytes).expect("can be written");
    }
}

fn store(journal: Box<dyn Journal>, fuse: &Fuse) -> LogStore {
    LogStore::new(journal, fuse.clone(), Arc::new(AtomicU64::new(u64::MAX)))
}

fn id(term: u64, index: u64) -> LogIdOf<TypeConfig> {
    LogIdOf::<TypeConfig> { leader_id: LeaderId { term, node_id: NODE }, index }
}

fn text(index: u64) -> String {
    format!("payload number {index:06}")
}

fn entry(term: u64, index: u64) -> EntryOf<TypeConfig> {
    let payload = Payload(Bytes::from(text(index)));
    EntryOf::<TypeConfig> { log_id: id(term, index), payload: EntryPayload::Normal(payload) }
}

fn entries(term: u64, range: std::ops::Range<u64>) -> Vec<EntryOf<TypeConfig>> {
    range.map(|index| entry(term, index)).collect()
}

fn vote(term: u64) -> VoteOf<TypeConfig> {
    VoteOf::<TypeConfig>::new(term, NODE)
}

impl OpenLog {
    /// Appends entries one by one, each after the previous one was acknowledged.
    async fn append(&mut self, term: u64, range: std::ops::Range<u64>) {
        for entry in entries(term, range) {
            self.store.blocking_append([entry]).await.expect("can be written");
        }
    }

    async fn ids(&mut self) -> Vec<(u64, u64)> {
        let entries = self.store.try_get_log_entries(..).await.expect("can be read");
        for entry in &entries {
            let EntryPayload::Normal(Payload(payload)) = &entry.payload else {
                panic!("only normal entries were written");
            };
            assert_eq!(payload, text(entry.log_id.index).as_bytes());
        }
        entries.iter().map(|entry| (entry.log_id.leader_id.term, entry.log_id.index)).collect()
    }
}

fn expected(term: u64, range: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    range.map(|index| (term, index)).collect()
}
