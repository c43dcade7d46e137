//! Settings that are to be equal on all agents.

use std::collections::BTreeMap;

/// Configuration key that is to have the same value on all agents, because the leader's value
/// applies to the cluster and any voter may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedSetting {
    /// Network profile: the intervals and timeouts of elections and heartbeats.
    Network,
    /// Number of log entries after which a snapshot is built.
    SnapshotAfterEntries,
    /// Number of log entries that are kept although a snapshot has them.
    KeepEntries,
}

/// Values of one agent, as its configuration states them.
pub type SharedSettings = BTreeMap<SharedSetting, String>;

impl SharedSetting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Network, Self::SnapshotAfterEntries, Self::KeepEntries];

    /// Returns the name of the configuration key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::SnapshotAfterEntries => "snapshot_after_entries",
            Self::KeepEntries => "keep_entries",
        }
    }

    /// Finds a setting by the name of its configuration key.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.key() == key)
    }
}
