//! Settings that are to be equal on all agents.

use std::collections::BTreeMap;

/// Configuration key that is to have the same value on all agents: the leader's value applies to the
/// cluster and any voter may lead, or agents with different values contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedSetting {
    /// Network profile: the intervals and timeouts of elections and heartbeats.
    Network,
    /// Number of log entries after which a snapshot is built.
    SnapshotAfterEntries,
    /// Number of log entries that are kept although a snapshot has them.
    KeepEntries,
    /// Location database of the name servers.
    LocationDatabase,
}

/// Values of one agent, as its configuration states them; of a file the digest, or `none`. A setting
/// that an agent has no use for is absent.
pub type SharedSettings = BTreeMap<SharedSetting, String>;

impl SharedSetting {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Network, Self::SnapshotAfterEntries, Self::KeepEntries, Self::LocationDatabase];

    /// Returns the name of the configuration key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::SnapshotAfterEntries => "snapshot_after_entries",
            Self::KeepEntries => "keep_entries",
            Self::LocationDatabase => "location_database",
        }
    }

    /// Finds a setting by the name of its configuration key.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == key)
    }
}
