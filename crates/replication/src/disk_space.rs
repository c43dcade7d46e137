//! Free space of the disk of this node.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use error_reporter::Report;
use meridian_domain::{Command, status};
use meridian_ports::ProposeError;
use meridian_storage::disk::space::free_bytes;

use crate::last_failure::LastFailure;

/// Interval between measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// Free disk space, as last measured by the node.
#[derive(Debug)]
pub struct DiskSpaceRecord {
    /// Free bytes.
    free: AtomicU64,
    /// Minimum free bytes, below which changes are rejected; 0 for no minimum.
    floor: u64,
}

impl DiskSpaceRecord {
    /// Creates a record with a minimum of `floor` bytes and no measurement, which passes every
    /// check.
    pub(crate) fn new(floor: u64) -> Self {
        Self { free: AtomicU64::new(u64::MAX), floor }
    }

    /// Records the measured free bytes.
    pub(crate) fn set_free(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
    }

    /// Returns the last measurement; `None` if there was none yet.
    pub(crate) fn measured(&self) -> Option<status::DiskSpace> {
        let free = self.free.load(Ordering::Relaxed);
        (free != u64::MAX).then_some(status::DiskSpace { free, minimum: self.floor })
    }

    /// Returns true if the free space is below the minimum.
    pub(crate) fn is_below_minimum(&self) -> bool {
        self.measured().is_some_and(status::DiskSpace::is_below_minimum)
    }

    /// Checks that `command` may be proposed. Below the minimum, only commands that free space and
    /// reports may be, of agents about their units and of the leader about lost gateways: they
    /// change little, and without them units stay unknown and clients are not moved.
    pub(crate) fn check(&self, command: &Command) -> Result<(), ProposeError> {
        let passes = matches!(
            command,
            Command::TrimHistory { .. }
                | Command::DeleteService { .. }
                | Command::RemoveAgent { .. }
                | Command::Report(_)
                | Command::LoseGateways(_)
                | Command::FindGateways { .. }
        );
        match self.measured().filter(|space| space.is_below_minimum() && !passes) {
            Some(space) => Err(ProposeError::LowDisk { free: space.free, floor: space.minimum }),
            None => Ok(()),
        }
    }
}

/// Updates the free disk space until aborted.
pub(crate) async fn watch(directory: PathBuf, space: Arc<DiskSpaceRecord>) {
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

#[cfg(test)]
mod tests {
    use meridian_domain::limits::Limits;
    use meridian_domain::reachability::Gateways;
    use meridian_domain::{AgentName, Revision, ServiceName};

    use super::*;

    #[test]
    fn below_the_minimum_only_commands_that_free_space_and_reports_pass() {
        let space = DiskSpaceRecord::new(100);
        let other = Command::SetLimits { limits: Limits::default() };
        assert!(space.check(&other).is_ok() && space.measured().is_none(), "is not measured yet");
        space.set_free(100);
        assert!(space.check(&other).is_ok());
        space.set_free(99);
        let low = ProposeError::LowDisk { free: 99, floor: 100 };
        assert_eq!(space.check(&other), Err(low));
        let service = ServiceName::new("contoso").expect("is a name");
        let agent = AgentName::new("eastus-1").expect("is a name");
        for command in [
            Command::TrimHistory { through: Revision(1) },
            Command::DeleteService { service, expected: None },
            Command::RemoveAgent { agent: agent.clone() },
            Command::FindGateways { agent, gateways: Gateways::All },
        ] {
            assert_eq!(space.check(&command), Ok(()), "{command:?}");
        }
    }
}
