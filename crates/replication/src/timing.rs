//! How long Raft waits for what.

use std::time::Duration;

/// Which network lies between the voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Round trips of a few milliseconds: one site, or one machine.
    Lan,
    /// Round trips up to 300 ms, lossy at times: regions on different continents.
    #[default]
    Wan,
}

/// Raft's intervals and time-outs.
///
/// A follower must hear several heartbeats before it gives its leader up, and a call to a dead member
/// must have failed before the next election begins, or elections never end: so
/// `heartbeat < call < election_min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// The shortest silence after which a follower stands for election.
    pub election_min: Duration,
    /// The longest; each election draws anew between the two.
    pub election_max: Duration,
    /// To open a connection to another member.
    pub connect: Duration,
}

impl Profile {
    /// The timing for that network.
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
    /// Silence after which a member counts as unreachable: two maximal election timeouts.
    #[must_use]
    pub fn unreachable_after(&self) -> Duration {
        2 * self.election_max
    }

    /// What openraft is told.
    pub(crate) fn raft_config(&self, snapshot_after: u64, keep: u64) -> openraft::Config {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        openraft::Config {
            cluster_name: "meridian".to_owned(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            // Streaming a snapshot over a slow link is progress, not failure: it has no hard deadline.
            install_snapshot_timeout: ms(Duration::from_secs(24 * 60 * 60)),
            // One message of appends stays around a megabyte: 16 entries of at most 64 KiB.
            max_payload_entries: 16,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(snapshot_after),
            max_in_snapshot_log_to_keep: keep,
            // Without it, a member that was cut off comes back with a higher term and deposes the
            // leader that everyone else follows.
            enable_pre_vote: Some(true),
            // A restarted leader would go on without an election, trusting a state machine that is
            // written lazily here.
            enable_leader_restore: Some(false),
            // A member whose disk went back in time (someone restored a copy of it) is given what it
            // forgot, at once. Otherwise it stays a voter without what it acknowledged until another
            // leader comes, who may be elected by its very vote; openraft says it in a warning.
            allow_log_reversion: Some(true),
            ..openraft::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_one_that_raft_accepts() {
        for profile in [Profile::Lan, Profile::Wan] {
            let timing = profile.timing();
            assert!(timing.heartbeat < timing.connect && timing.connect < timing.election_min);
            timing.raft_config(1_000, 100).validate().expect("is valid");
        }
    }
}
