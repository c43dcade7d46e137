//! What a test may set of its nodes.

/// What a test may set of its nodes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Log entries between two snapshots.
    pub snapshot_after: u64,
    /// Log entries kept behind a snapshot.
    pub keep_entries: u64,
    /// Bytes that must stay free on the disk; 0 for no floor.
    pub disk_floor: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { snapshot_after: 100_000, keep_entries: 1_000, disk_floor: 0 }
    }
}
