//! Intervals and timeouts of Raft.

use std::time::Duration;

/// Network between the voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Round-trip times of a few milliseconds: one site, or one machine.
    Lan,
    /// Round-trip times up to 300 ms with occasional loss: regions on different continents.
    #[default]
    Wan,
}

/// Intervals and timeouts of Raft.
///
/// A follower must miss several heartbeats before it starts an election, and a connection attempt
/// to a dead member must time out before the next election starts, or elections never end.
/// Therefore `heartbeat < connect < election_min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Interval between heartbeats of a leader.
    pub heartbeat: Duration,
    /// Minimum election timeout: time without contact to the leader after which a follower starts
    /// an election.
    pub election_min: Duration,
    /// Maximum election timeout. Each election timeout is chosen at random between the two.
    pub election_max: Duration,
    /// Timeout for opening a connection to another member.
    pub connect: Duration,
}

impl Profile {
    /// Returns the timing for this network.
    #[must_use]
    pub fn timing(self) -> Timing {
        let (heartbeat, election_min, election_max) = match self {
            Self::Lan => (50, 150, 300),
            Self::Wan => (250, 1_250, 2_500),
        };
        Timing {
            heartbeat: Duration::from_millis(heartbeat),
            election_min: Duration::from_millis(election_min),
            election_max: Duration::from_millis(election_max),
            connect: Duration::from_millis(heartbeat * 2),
        }
    }
}

impl Timing {
    /// Silence after which status reports a member as unreachable: twice the maximum election
    /// timeout.
    #[must_use]
    pub fn unreachable_after(&self) -> Duration {
        2 * self.election_max
    }

    /// Returns the configuration of openraft. A snapshot is built after `snapshot_after` log
    /// entries; the last `keep` entries before it are not purged.
    pub(crate) fn raft_config(&self, snapshot_after: u64, keep: u64) -> openraft::Config {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        openraft::Config {
            cluster_name: "meridian".to_owned(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            // Streaming a snapshot over a slow link may take long without being a failure, so it
            // has no tight timeout.
            install_snapshot_timeout: ms(Duration::from_secs(24 * 60 * 60)),
            // The log store also limits the payload of an append message, to 1 MiB or one entry.
            max_payload_entries: 16,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(snapshot_after),
            max_in_snapshot_log_to_keep: keep,
            // Without Pre-Vote, a member that was partitioned returns with a higher term and
            // deposes the leader that all others follow.
            enable_pre_vote: Some(true),
            // A restarted leader would continue without an election and rely on its state machine,
            // which is written lazily here.
            enable_leader_restore: Some(false),
            // A member whose disk was restored from an older copy receives the lost entries
            // immediately. Otherwise it stays a voter without entries that it had acknowledged
            // until the leader changes, and its own vote may elect that leader; openraft warns
            // about this.
            allow_log_reversion: Some(true),
            ..openraft::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openraft_accepts_the_timing_of_every_profile() {
        for profile in [Profile::Lan, Profile::Wan] {
            let timing = profile.timing();
            assert!(timing.heartbeat < timing.connect && timing.connect < timing.election_min);
            timing.raft_config(1_000, 100).validate().expect("is valid");
        }
    }

    #[test]
    fn a_member_is_unreachable_after_two_maximum_election_timeouts() {
        let after = |profile: Profile| profile.timing().unreachable_after();
        assert_eq!(after(Profile::Lan), Duration::from_millis(600));
        assert_eq!(after(Profile::Wan), Duration::from_secs(5));
    }
}
