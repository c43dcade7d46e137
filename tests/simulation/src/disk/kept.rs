//! The desired set of the reconciler.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use meridian_agent::desired_store::DesiredStore;
use tokio::time::sleep;

use super::Disk;

/// Bytes that are replaced as a whole, some time after that was asked for.
#[derive(Debug)]
pub struct SimKept {
    disk: Disk,
    life: u64,
}

impl SimKept {
    pub(super) fn new(disk: Disk) -> Self {
        let life = disk.inner().life;
        Self { disk, life }
    }
}

#[async_trait]
impl DesiredStore for SimKept {
    fn path(&self) -> PathBuf {
        "simulated/desired".into()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.disk.inner().kept.clone())
    }

    async fn replace(&self, bytes: Vec<u8>) -> io::Result<()> {
        let latency = self.disk.inner().latency();
        sleep(latency).await;
        let mut disk = self.disk.inner();
        if disk.broken || disk.life != self.life {
            return Err(io::Error::other("the simulated disk is broken"));
        }
        disk.kept = Some(bytes);
        Ok(())
    }
}
