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
/// A follower starts an election once it has not heard from the leader for `election_max`, for which
/// it would refuse to vote, plus a time between `election_min` and `election_max`. A new leader needs
/// three more round trips: Pre-Vote, vote, and the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Interval between heartbeats of a leader. A member with a longer round trip gets the next one
    /// after its response.
    pub heartbeat: Duration,
    /// Time for the response to a heartbeat, after which the next one is sent.
    pub heartbeat_timeout: Duration,
    /// Minimum time between the end of the leader's lease and an election.
    pub election_min: Duration,
    /// Maximum time between the end of the leader's lease and an election; also the lease. Each
    /// election timeout is chosen at random between the two.
    pub election_max: Duration,
    /// Timeout for opening a connection to another member: two round trips for TCP and TLS, and a
    /// retransmission of the first packet, which takes 1 s (RFC 6298). Longer than an election
    /// timeout, because no election waits for a dial.
    pub connect: Duration,
    /// Silence of a member with a request in flight after which its connection is replaced and
    /// status reports it as unreachable.
    pub silence: Duration,
    /// Round-trip time to a voter above which a leader may lose its followers.
    pub max_round_trip: Duration,
    /// Window in which all probes of gateways must fail for a vote that they are unreachable. Lost
    /// packets are retransmitted several times within it.
    pub probe_window: Duration,
}

impl Profile {
    /// Returns the name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    /// Returns the timing for this network.
    #[must_use]
    pub fn timing(self) -> Timing {
        let ms = Duration::from_millis;
        match self {
            Self::Lan => Timing {
                heartbeat: ms(50),
                heartbeat_timeout: ms(100),
                election_min: ms(150),
                election_max: ms(300),
                connect: ms(500),
                silence: ms(1_000),
                max_round_trip: ms(30),
                probe_window: ms(2_000),
            },
            Self::Wan => Timing {
                heartbeat: ms(200),
                heartbeat_timeout: ms(450),
                election_min: ms(500),
                election_max: ms(750),
                connect: ms(2_000),
                silence: ms(5_000),
                max_round_trip: ms(350),
                probe_window: ms(5_000),
            },
        }
    }
}

impl Timing {
    /// Returns the interval between the reports of a prober.
    #[must_use]
    pub fn probe_report_interval(&self) -> Duration {
        self.probe_window / 4
    }

    /// Returns the age of a report above which its prober counts as silent.
    #[must_use]
    pub fn max_probe_report_age(&self) -> Duration {
        self.probe_report_interval() * 3
    }

    /// Returns the configuration of openraft. A snapshot is built after `snapshot_after` log
    /// entries; the last `keep` entries before it are not purged.
    pub(crate) fn raft_config(&self, snapshot_after: u64, keep: u64) -> openraft::Config {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        openraft::Config {
            cluster_name: "meridian".to_owned(),
            // Only the timeout of a heartbeat, and the interval between checks of the election
            // timeout times 64/13: the heartbeats are sent by a task of the leader.
            heartbeat_interval: ms(self.heartbeat_timeout),
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
            assert!(timing.heartbeat < timing.heartbeat_timeout);
            assert!(timing.max_round_trip < timing.heartbeat_timeout);
            timing.raft_config(1_000, 100).validate().expect("is valid");
        }
    }

    #[test]
    fn a_new_leader_commits_within_three_seconds_at_a_round_trip_of_300_ms() {
        let timing = Profile::Wan.timing();
        let check_interval = timing.heartbeat_timeout * 13 / 64;
        let detected = timing.election_max * 2 + check_interval;
        assert!(detected + 3 * Duration::from_millis(300) < Duration::from_secs(3));
    }
}
