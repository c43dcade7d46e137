//! The schedule of faults. The same seed generates the same schedule.

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// Faults in sequence: each one is injected at its time, or once the previous fault has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Seed of the schedule.
    pub seed: u64,
    /// Number of agents in the cluster.
    pub agents: u8,
    /// Duration of the load phase in seconds.
    pub load_seconds: u64,
    /// The faults, by time.
    pub faults: Vec<Planned>,
}

/// A scheduled fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Start time in milliseconds since the load began.
    pub at_ms: u64,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Kind of fault.
    pub kind: Kind,
    /// The affected agent, for kinds that affect one.
    pub agent: Target,
    /// Selects the variant of the kind, if it has one.
    pub variant: bool,
}

/// Kinds of faults.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An agent process is killed and restarted.
    Kill,
    /// An agent process is paused for longer than an election takes.
    Pause,
    /// An agent is partitioned from all others. Variant: it is killed and restarted during the
    /// partition.
    Partition,
    /// A region is removed while its agent is partitioned, and added again before the partition
    /// ends.
    Region,
    /// All traffic from an agent to the others is dropped. Variant: all traffic to it is dropped.
    Oneway,
    /// 30% of the packets between agents are lost. Variant: an agent is killed and restarted
    /// meanwhile.
    Loss,
    /// Leadership is transferred to another agent.
    Transfer,
    /// The number of voters is reduced to one and restored.
    Membership,
    /// All agent processes are killed at the same time and restarted.
    All,
    /// A majority of the agent processes is killed and restarted.
    Quorum,
    /// An agent loses its disk and joins as a new node.
    Wipe,
    /// A unit process is killed.
    Unit,
    /// All traffic from and to an agent is delayed by 100 ms. Variant: it is killed and restarted
    /// meanwhile.
    Delay,
    /// 30% of the packets between agents are duplicated. Variant: an agent is killed and restarted
    /// meanwhile.
    Duplicate,
    /// 30% of the packets between agents are reordered. Variant: an agent is killed and restarted
    /// meanwhile.
    Reorder,
    /// An agent's disk is full for a while. Variant: the agent is restarted while the disk is full.
    DiskFull,
    /// Each sync of an agent's disk is delayed by 100 ms. Variant: by 500 ms, longer than an
    /// election.
    DiskSlow,
    /// A sync of an agent's Raft log or database fails. Variant: the agent then loses its disk and
    /// joins as a new node.
    StorageError,
    /// An agent's wall clock jumps an hour ahead and back. Variant: an hour back and ahead.
    Clock,
    /// An agent is killed after it restarted a unit but before it reported it. Variant: after it
    /// started an additional unit.
    Spawn,
    /// An agent and one of its units are killed, and another program takes the unit's process id
    /// before the agent restarts.
    PidReuse,
    /// All links between agents have a round trip of 300 ms, 50 ms of jitter and 1% loss. Variant:
    /// an agent is killed and restarted meanwhile.
    LongLinks,
    /// An agent is restarted with another peer address. Variant: a majority of the agents, at the
    /// same time.
    Move,
    /// The disk of the leader hangs until another agent leads. Variant: the agent is then killed and
    /// restarted.
    DiskHang,
    /// The data directory of an agent is restored from a copy of a few seconds ago. Variant: from
    /// before its last two restarts.
    Restore,
    /// A unit process hangs and never continues: its agent must kill and replace it. Variant: the
    /// agent is killed and restarted meanwhile.
    Hang,
    /// An agent is stopped while its units are scaled, rolled and deleted. Variant: its region is
    /// also removed, and added again.
    Absence,
    /// A second agent is started on a copy of an agent's data directory, beside the original.
    Clone,
    /// An agent is killed and restarted while each lookup of a name takes 5 s on all agents: it must
    /// catch up before the lookups are fast again. Variant: all agents.
    SlowLookups,
    /// An agent and its units are killed until its gateways are lost, and then restarted. Variant: they
    /// are paused, so that they accept connections and never respond.
    Outage,
}

/// The agent affected by a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The leader at the time of the fault.
    Leader,
    /// The agent with this number, from 1.
    Agent(u8),
}

impl Kind {
    /// Returns all kinds.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// Returns true if the kind needs a network of packets, and therefore root privileges.
    #[must_use]
    pub fn needs_packets(self) -> bool {
        matches!(self, Self::Duplicate | Self::Reorder)
    }

    /// Returns the name used in histories and on the command line.
    ///
    /// # Panics
    /// Never: no kind is hidden from the command line.
    #[must_use]
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no kind is hidden");
        value.get_name().to_owned()
    }

    /// Returns the description.
    #[must_use]
    pub fn description(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().cloned());
        help.map(|help| help.to_string()).unwrap_or_default()
    }

    /// Returns the minimum and maximum duration in milliseconds.
    fn duration_ms(self) -> (u64, u64) {
        match self {
            Self::Transfer | Self::Unit | Self::Hang | Self::Clone | Self::SlowLookups => (0, 1),
            Self::Outage => (0, 1),
            Self::Kill | Self::All | Self::Wipe | Self::Spawn | Self::PidReuse | Self::Move => {
                (300, 2_000)
            }
            Self::Pause => (600, 3_000),
            Self::Membership | Self::Quorum | Self::DiskFull | Self::StorageError => (1_500, 3_000),
            Self::Partition | Self::Region | Self::Oneway | Self::Loss => (2_000, 6_000),
            Self::Delay | Self::Duplicate | Self::Reorder | Self::Restore => (1_500, 3_000),
            Self::DiskHang | Self::Absence => (7_000, 9_000),
            Self::DiskSlow | Self::Clock | Self::LongLinks => (2_000, 6_000),
        }
    }
}

impl Schedule {
    /// Generates the schedule of a seed. All kinds occur once before any kind occurs again.
    #[must_use]
    pub fn generate(seed: u64, minutes: f64, agents: u8, kinds: &[Kind]) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let load_seconds = (minutes * 60.0).max(1.0) as u64;
        let mut faults = Vec::new();
        let mut round = Vec::new();
        let mut at_ms = 2_000;
        loop {
            if round.is_empty() {
                round = kinds.to_vec();
                round.shuffle(&mut random);
            }
            let Some(kind) = round.pop() else { break };
            let (shortest, longest) = kind.duration_ms();
            let duration_ms = random.random_range(shortest..longest);
            let agent = match random.random_range(0..=agents) {
                0 => Target::Leader,
                number => Target::Agent(number),
            };
            // Bias toward the leader, where faults have the greatest effect.
            let agent = if random.random_bool(0.4) { Target::Leader } else { agent };
            let variant = random.random_bool(0.5);
            if at_ms + duration_ms + 2_000 > load_seconds * 1_000 {
                break;
            }
            faults.push(Planned { at_ms, duration_ms, kind, agent, variant });
            at_ms += duration_ms + random.random_range(1_500..4_000);
        }
        Self { seed, agents, load_seconds, faults }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_seed_determines_the_schedule() {
        let of = |seed| Schedule::generate(seed, 2.0, 3, &Kind::all());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let json = serde_json::to_string(&of(1)).expect("the schedule is serialized");
        assert_eq!(serde_json::from_str::<Schedule>(&json).expect("the schedule is parsed"), of(1));
    }

    #[test]
    fn every_kind_occurs_within_three_minutes_and_ends_before_the_load() {
        for seed in 0..50 {
            let schedule = Schedule::generate(seed, 3.0, 3, &Kind::all());
            let kinds: BTreeSet<_> = schedule.faults.iter().map(|it| it.kind).collect();
            assert_eq!(kinds.len(), Kind::all().len(), "{schedule:?}");
            let end = schedule.faults.iter().map(|it| it.at_ms + it.duration_ms).max();
            assert!(end < Some(schedule.load_seconds * 1_000));
        }
    }
}
