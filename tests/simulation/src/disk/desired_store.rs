//! The store of the reconciler's desired units.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use meridian_agent::desired_store::DesiredStore;
use tokio::time::sleep;

use super::Disk;

/// Bytes that are replaced atomically, after the latency of a sync.
#[derive(Debug)]
pub struct SimDesiredStore {
    disk: Disk,
    process_run: u64,
}

impl SimDesiredStore {
    pub(super) fn new(disk: Disk) -> Self {
        let process_run = disk.inner().process_run;
        Self { disk, process_run }
    }
}

#[async_trait]
impl DesiredStore for SimDesiredStore {
    fn path(&self) -> PathBuf {
        "simulated/desired".into()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.disk.inner().desired.clone())
    }

    async fn replace(&self, bytes: Vec<u8>) -> io::Result<()> {
        let latency = self.disk.inner().latency();
        sleep(latency).await;
        let mut disk = self.disk.inner();
        if disk.broken || disk.process_run != self.process_run {
            return Err(io::Error::other("simulated disk failure"));
        }
        disk.desired = Some(bytes);
        Ok(())
    }
}
