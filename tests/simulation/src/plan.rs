//! The plan of a seed: all parameters that are drawn before the simulation starts.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use meridian_domain::RegionName;
use meridian_replication::timing::Profile;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An agent process is killed and restarted; its disk keeps all writes.
    Crash,
    /// A machine loses power: unsynced writes are torn, and peers see no end of the connections.
    PowerLoss,
    /// Syncs of an agent's disk fail.
    BrokenDisk,
    /// Syncs of an agent's disk are slow.
    SlowDisk,
    /// Agents are partitioned into two groups. Messages are lost.
    Partition,
    /// Agents are partitioned into two groups. Messages are delivered after the partition.
    Hold,
    /// Messages from one agent to another are lost, but not in the other direction.
    OneWay,
    /// Messages between two agents have a high, random latency.
    Delay,
    /// Messages between two agents are lost in bursts.
    Loss,
    /// The wall clock of an agent is wrong.
    Skew,
    /// A unit exits.
    UnitDeath,
    /// Starting units fails for a while.
    StartFailure,
    /// Leadership is transferred.
    Transfer,
    /// A snapshot is built and the log is purged.
    Snapshot,
    /// Syncs of an agent's disk hang for longer than its node tolerates, and complete afterwards.
    HungDisk,
    /// A unit hangs, or drains although its agent did not stop it.
    UnitHang,
    /// The gateways of a region cannot be reached from other regions; its agents can.
    GatewayCut,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 17] = [
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
        Self::HungDisk,
        Self::UnitHang,
        Self::GatewayCut,
    ];
}

/// Regions of the agents, assigned in turn.
const REGIONS: [&str; 5] = ["westeurope", "eastus", "japaneast", "brazilsouth", "centralindia"];

/// The plan of a seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Regions of the agents, 3 to 7.
    pub agents: Vec<RegionName>,
    /// Number of agents in the initial cluster; the others join later.
    pub initial_agents: usize,
    /// Kinds of faults.
    pub faults: BTreeSet<Fault>,
    /// Duration of the fault phase.
    pub fault_phase: Duration,
    /// Maximum time between two faults.
    pub fault_gap: Duration,
    /// Maximum duration of a fault.
    pub fault_length: Duration,
    /// Raft timing profile.
    pub profile: Profile,
    /// Minimum and maximum latency of a message.
    pub latency: (Duration, Duration),
    /// Minimum and maximum latency of a sync.
    pub sync: (Duration, Duration),
    /// Step of the simulated time.
    pub tick: Duration,
    /// True if connections to stopped hosts hang instead of being refused.
    pub silent: bool,
    /// Number of operators; each has at most one operation in flight.
    pub operators: usize,
    /// Maximum think time of an operator.
    pub think_time: Duration,
    /// Number of log entries between two snapshots.
    pub snapshot_after: u64,
    /// Number of log entries retained after a snapshot.
    pub keep_entries: u64,
}

impl Plan {
    /// Draws the plan of `seed`. The order of the draws must not change.
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
            initial_agents: rng.random_range(3..=count.min(5)),
            faults,
            fault_phase: ms(&mut rng, 10_000, 40_000),
            fault_gap: ms(&mut rng, 300, 6_000),
            fault_length: ms(&mut rng, 500, 10_000),
            profile,
            latency: (Duration::from_millis(latency.0), latency.1),
            sync: (Duration::from_millis(sync.0), sync.1),
            tick: Duration::from_millis(tick),
            silent: rng.random_bool(0.5),
            operators: rng.random_range(1..=6),
            think_time: ms(&mut rng, 10, 1_000),
            snapshot_after: rng.random_range(10..=400),
            keep_entries: rng.random_range(0..=50),
        }
    }

    /// Returns true if agents probe gateways, which takes as long to simulate as all the rest: only if
    /// gateways are cut off.
    #[must_use]
    pub fn probes(&self) -> bool {
        self.faults.contains(&Fault::GatewayCut)
    }

    /// Returns a random number generator for a part of the simulation; each `purpose` has its own.
    #[must_use]
    pub fn rng(&self, purpose: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(purpose))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} agents ({} initial, {:?}), {} operators, {:.0} s of {:?}",
            self.seed,
            self.agents.len(),
            self.initial_agents,
            self.profile,
            self.operators,
            self.fault_phase.as_secs_f64(),
            self.faults
        )
    }
}

/// Returns the region with this name.
///
/// # Panics
/// If the name is invalid.
#[must_use]
pub fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("a valid region name")
}
