//! openraft's storage test suite, run against these stores on a real directory.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use meridian_domain::{Address, ClusterId, NodeId};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::disk::directory::{DataDirectory, Identity};
use crate::disk::sled_database::SledDatabase;
use crate::disk::wal::{ChunkLimits, Wal};
use crate::fuse::Fuse;
use crate::log_store::LogStore;
use crate::raft::{Member, TypeConfig};
use crate::state_machine::StateMachine;
use crate::store::Store;

/// The suite creates members without addresses.
impl Default for Member {
    fn default() -> Self {
        Self { address: Address::new("unknown.invalid:1").expect("is an address") }
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let parent = tempfile::tempdir().expect("can create a directory");
        let mut directory = DataDirectory::open(parent.path()).expect("is new");
        let identity = Identity { cluster: ClusterId(uuid::Uuid::from_u128(1)), node: NodeId(1) };
        directory.establish(identity).expect("has none");
        let fuse = Fuse::default();
        // Small chunks, so that the few entries of the suite span several of them.
        let limits = ChunkLimits { bytes: 4096, records: 16 };
        let wal = Wal::open(&directory, identity, limits, fuse.clone()).expect("is new");
        let database =
            SledDatabase::open(&directory.database_path(), fuse.clone()).expect("is new");
        // The suite purges entries that it never applied, and applies entries that it never
        // appended.
        let all_synced = Arc::new(AtomicU64::new(u64::MAX));
        let all_flushed = watch::Sender::new(Some(u64::MAX)).subscribe();
        let log = LogStore::new(Box::new(wal), fuse.clone(), all_synced);
        let (_, state_machine) =
            Store::open(Arc::new(database), all_flushed, Arc::default(), fuse).expect("is new");
        Ok((parent, log, state_machine))
    }
}

#[test]
fn the_openraft_storage_suite_passes() {
    TypeConfig::run(async {
        Suite::test_all(Builder).await.expect("the stores pass the suite");
    });
}
