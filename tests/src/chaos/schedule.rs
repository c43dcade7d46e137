//! Which faults, and when. The same seed gives the same schedule.

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// Faults one after another: the next one begins when its time has come and the one before is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// What it was generated from.
    pub seed: u64,
    /// Agents in the cluster.
    pub agents: u8,
    /// How long clients ask for changes, in seconds.
    pub load_seconds: u64,
    /// The faults, by time.
    pub faults: Vec<Planned>,
}

/// A fault of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// When, in milliseconds since the load began.
    pub at_ms: u64,
    /// How long, in milliseconds.
    pub lasts_ms: u64,
    /// Which kind.
    pub kind: Kind,
    /// Whom it meets, where it meets one.
    pub agent: Target,
    /// Where the kind has two forms, whether it is the second one.
    pub variant: bool,
}

/// Kinds of faults.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An agent is killed, and started again.
    Kill,
    /// An agent is stopped for longer than an election takes, and goes on.
    Pause,
    /// An agent hears no other one, and none hears it. Second form: it is killed and started again
    /// meanwhile.
    Partition,
    /// A region is removed while its agent is cut off, and added again before that is over.
    Region,
    /// An agent is not heard by the others. Second form: it does not hear them.
    Oneway,
    /// Three of ten packets between agents are lost. Second form: an agent is killed and started again
    /// meanwhile.
    Loss,
    /// Another agent is told to lead.
    Transfer,
    /// One voter only, and then as many as before.
    Membership,
    /// All agents are killed at once, and started again.
    All,
    /// A majority is killed, and started again.
    Quorum,
    /// An agent loses its disk, and joins as a new one.
    Wipe,
    /// A unit is killed.
    Unit,
    /// What an agent sends and what it is sent arrives 100 ms later. Second form: it is killed and
    /// started again meanwhile.
    Delay,
    /// Three of ten packets between agents arrive twice. Second form: an agent is killed and started
    /// again meanwhile.
    Duplicate,
    /// Three of ten packets between agents are overtaken by later ones. Second form: an agent is
    /// killed and started again meanwhile.
    Reorder,
    /// An agent's disk is full until there is room again. Second form: the agent is started again while
    /// there is none.
    DiskFull,
    /// Each sync of an agent's disk takes 100 ms longer. Second form: 500 ms, more than an election.
    DiskSlow,
    /// One sync of an agent's Raft log or database fails. Second form: it loses its disk then, and joins
    /// as a new one.
    StorageError,
    /// An agent's wall clock jumps an hour ahead, and back. Second form: an hour back, and ahead.
    Clock,
    /// An agent is killed when it has started a unit again and nobody knows yet. Second form: a new unit.
    Spawn,
    /// An agent is killed, and a unit of it, whose process id another program has when the agent starts
    /// again.
    PidReuse,
}

/// Whom a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Whoever leads then.
    Leader,
    /// The agent of that number, from 1.
    Agent(u8),
}

impl Kind {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// Whether it needs a network of packets, and so root.
    #[must_use]
    pub fn needs_packets(self) -> bool {
        matches!(self, Self::Duplicate | Self::Reorder)
    }

    /// The name in histories, as on the command line.
    ///
    /// # Panics
    /// Never: every kind can be given there.
    #[must_use]
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no kind is hidden");
        value.get_name().to_owned()
    }

    /// What it does, in a sentence or two.
    #[must_use]
    pub fn meaning(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().cloned());
        help.map(|help| help.to_string()).unwrap_or_default()
    }

    /// The shortest and the longest time that it lasts, in milliseconds.
    fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::Transfer | Self::Unit => (0, 1),
            Self::Kill | Self::All | Self::Wipe | Self::Spawn | Self::PidReuse => (300, 2_000),
            Self::Pause => (600, 3_000),
            Self::Membership | Self::Quorum | Self::DiskFull | Self::StorageError => (1_500, 3_000),
            Self::Partition | Self::Region | Self::Oneway | Self::Loss => (2_000, 6_000),
            Self::Delay | Self::Duplicate | Self::Reorder => (1_500, 3_000),
            Self::DiskSlow | Self::Clock => (2_000, 6_000),
        }
    }
}

impl Schedule {
    /// The schedule of that seed. Every kind comes once before one comes again.
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
            let (least, most) = kind.lasts_ms();
            let lasts_ms = random.random_range(least..most);
            let agent = match random.random_range(0..=agents) {
                0 => Target::Leader,
                number => Target::Agent(number),
            };
            // Half of all faults meet the leader, where they hurt most.
            let agent = if random.random_bool(0.4) { Target::Leader } else { agent };
            let variant = random.random_bool(0.5);
            if at_ms + lasts_ms + 2_000 > load_seconds * 1_000 {
                break;
            }
            faults.push(Planned { at_ms, lasts_ms, kind, agent, variant });
            at_ms += lasts_ms + random.random_range(1_500..4_000);
        }
        Self { seed, agents, load_seconds, faults }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        let of = |seed| Schedule::generate(seed, 2.0, 3, &Kind::all());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let json = serde_json::to_string(&of(1)).expect("is JSON");
        assert_eq!(serde_json::from_str::<Schedule>(&json).expect("is read"), of(1));
    }

    #[test]
    fn every_kind_comes_in_three_minutes_and_ends_before_the_load() {
        for seed in 0..50 {
            let schedule = Schedule::generate(seed, 3.0, 3, &Kind::all());
            let kinds: BTreeSet<_> = schedule.faults.iter().map(|it| it.kind).collect();
            assert_eq!(kinds.len(), Kind::all().len(), "{schedule:?}");
            let end = schedule.faults.iter().map(|it| it.at_ms + it.lasts_ms).max();
            assert!(end < Some(schedule.load_seconds * 1_000));
        }
    }
}
