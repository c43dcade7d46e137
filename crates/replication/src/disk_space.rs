//! Free space of the disk of this node.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use error_reporter::Report;
use meridian_ports::ProposeError;
use meridian_storage::disk::space::free_bytes;

use crate::last_failure::LastFailure;

/// Interval between measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// Free disk space, as last measured by the node.
#[derive(Debug)]
pub struct DiskSpace {
    /// Free bytes.
    free: AtomicU64,
    /// Minimum free bytes, below which changes are rejected; 0 for no minimum.
    floor: u64,
}

impl DiskSpace {
    /// Creates a record with a minimum of `floor` bytes and no measurement, which passes every
    /// check.
    pub(crate) fn new(floor: u64) -> Self {
        Self { free: AtomicU64::new(u64::MAX), floor }
    }

    /// Records the measured free bytes.
    pub(crate) fn set_free(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
    }

    /// Checks that the free space is not below the minimum.
    pub(crate) fn check(&self) -> Result<(), ProposeError> {
        let (free, floor) = (self.free.load(Ordering::Relaxed), self.floor);
        if free < floor { Err(ProposeError::LowDisk { free, floor }) } else { Ok(()) }
    }
}

/// Updates the free disk space until aborted.
pub(crate) async fn watch(directory: PathBuf, space: Arc<DiskSpace>) {
    let mut last_failure = LastFailure::default();
    loop {
        let directory = directory.clone();
        // A disk that hangs must not block the runtime.
        let measured = tokio::task::spawn_blocking(move || free_bytes(&directory)).await;
        let result = match measured.unwrap_or_else(|panic| Err(panic.into())) {
            Ok(free) => {
                metrics::gauge!("meridian_disk_free_bytes").set(free as f64);
                space.set_free(free);
                Ok(())
            }
            Err(error) => Err(Report::new(&error).to_string()),
        };
        if let Some(cause) = last_failure.record(result) {
            tracing::warn!(cause, "failed to read the free disk space");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
