//! Node options that a test may change.

use std::time::Duration;

/// Node options that a test may change.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of log entries between two snapshots.
    pub snapshot_after: u64,
    /// Number of log entries retained after a snapshot.
    pub keep_entries: u64,
    /// Minimum free disk space in bytes; 0 disables the check.
    pub disk_floor: u64,
    /// Time by which the wall clock of each node is ahead, by index; zero for further nodes.
    pub clocks_ahead: Vec<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            snapshot_after: 100_000,
            keep_entries: 1_000,
            disk_floor: 0,
            clocks_ahead: Vec::new(),
        }
    }
}
