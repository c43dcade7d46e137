//! The task that bounds the logs of a driver's units.

use std::sync::Weak;
use std::time::Duration;

use super::blocking;
use super::run_directory::RunDirectory;

/// Period of the task. Between two rounds, a log may grow beyond its limit.
const PERIOD: Duration = Duration::from_secs(5);

/// Rotates the logs in a run directory while the driver, or one of its units, exists.
pub(super) async fn run(directory: Weak<RunDirectory>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(directory) = directory.upgrade() else { return };
        if let Err(error) = blocking(move || directory.rotate_logs()).await {
            tracing::warn!(%error, "cannot list the logs of the units");
        }
    }
}
