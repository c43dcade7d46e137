//! What a seed means: everything that is drawn before the simulation begins.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use meridian_domain::RegionName;
use meridian_replication::timing::Profile;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Something that may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An agent is killed and started again; its disk has everything.
    Crash,
    /// A machine loses power: what was not synced is torn, and nobody is told that connections end.
    PowerLoss,
    /// The syncs of an agent's disk fail.
    BrokenDisk,
    /// The syncs of an agent's disk take long.
    SlowDisk,
    /// Some agents do not hear the others, either way. Messages are lost.
    Partition,
    /// The same, but messages arrive once that is over.
    Hold,
    /// One agent does not hear another, which hears it.
    OneWay,
    /// Messages between two agents take long, each another time.
    Delay,
    /// Messages between two agents are lost in bursts.
    Loss,
    /// The time of day of an agent is wrong.
    Skew,
    /// Units die.
    UnitDeath,
    /// Units cannot be started for a while.
    StartFailure,
    /// Leadership is handed over.
    Transfer,
    /// A snapshot is built and the log is purged.
    Snapshot,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Crash,
        Self::PowerLoss,
        Self::BrokenDisk,
        Self::SlowDisk,
        Self::Partition,
        Self::Hold,
        Self::OneWay,
        Self::Delay,
        Self::Loss,
        Self::Skew,
        Self::UnitDeath,
        Self::StartFailure,
        Self::Transfer,
        Self::Snapshot,
    ];
}

/// Where the agents are, one after another.
const REGIONS: [&str; 5] = ["westeurope", "eastus", "japaneast", "brazilsouth", "centralindia"];

/// The plan of a seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The regions of the agents, 3 to 7.
    pub agents: Vec<RegionName>,
    /// How many of them found the cluster; the others join.
    pub founders: usize,
    /// What goes wrong.
    pub faults: BTreeSet<Fault>,
    /// How long things go wrong.
    pub trouble: Duration,
    /// Between two faults, at most.
    pub fault_gap: Duration,
    /// How long a fault lasts, at most.
    pub fault_length: Duration,
    /// Raft's time-outs.
    pub profile: Profile,
    /// The shortest and the longest way of a message.
    pub latency: (Duration, Duration),
    /// The shortest and the longest sync of a disk.
    pub sync: (Duration, Duration),
    /// Simulated time goes on in steps of this.
    pub tick: Duration,
    /// Whether connections to those that are gone hang instead of being refused.
    pub silent: bool,
    /// Operators that ask for changes, one request at a time each.
    pub operators: usize,
    /// What an operator waits between two requests, at most.
    pub pause: Duration,
    /// Log entries after which a snapshot is built.
    pub snapshot_after: u64,
    /// Log entries that are kept behind it.
    pub keep_entries: u64,
}

impl Plan {
    /// The plan of `seed`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let ms = |rng: &mut SmallRng, from: u64, to: u64| {
            Duration::from_millis(rng.random_range(from..=to))
        };
        let count = rng.random_range(3..=7);
        let regions = rng.random_range(2..=REGIONS.len());
        let agents = (0..count).map(|index| region(REGIONS[index % regions])).collect();
        let profile = if rng.random_bool(0.5) { Profile::Lan } else { Profile::Wan };
        let (latency, sync, tick) = match profile {
            Profile::Lan => ((0, ms(&mut rng, 2, 10)), (0, ms(&mut rng, 0, 8)), 1),
            Profile::Wan => ((5, ms(&mut rng, 20, 120)), (1, ms(&mut rng, 2, 40)), 5),
        };
        let kinds = rng.random_range(1..=5);
        let faults = Fault::ALL.choose_multiple(&mut rng, kinds).copied().collect();
        Self {
            seed,
            agents,
            founders: rng.random_range(3..=count.min(5)),
            faults,
            trouble: ms(&mut rng, 10_000, 40_000),
            fault_gap: ms(&mut rng, 300, 6_000),
            fault_length: ms(&mut rng, 500, 10_000),
            profile,
            latency: (Duration::from_millis(latency.0), latency.1),
            sync: (Duration::from_millis(sync.0), sync.1),
            tick: Duration::from_millis(tick),
            silent: rng.random_bool(0.5),
            operators: rng.random_range(1..=6),
            pause: ms(&mut rng, 10, 1_000),
            snapshot_after: rng.random_range(10..=400),
            keep_entries: rng.random_range(0..=50),
        }
    }

    /// Randomness for a part of the simulation, its own for each `purpose`.
    #[must_use]
    pub fn rng(&self, purpose: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(purpose))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} agents ({} founders, {:?}), {} operators, {:.0} s of {:?}",
            self.seed,
            self.agents.len(),
            self.founders,
            self.profile,
            self.operators,
            self.trouble.as_secs_f64(),
            self.faults
        )
    }
}

/// A region of that name.
///
/// # Panics
/// If it cannot be one.
#[must_use]
pub fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("the names above are names of regions")
}
