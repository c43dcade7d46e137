//! Deterministic simulation: a whole cluster in one thread, on simulated time, network, disks and
//! machines. A seed gives everything, so a failure is replayed exactly.
//!
//! | real | simulated |
//! | --- | --- |
//! | domain, replication (openraft and gRPC included), reconciler | time and network (turmoil) |
//! | the log store, the derived store, snapshots, membership | [`disk`]: the seams under the stores, with loss of what was not synced |
//! | what goes into the log, and what comes out of it | [`machine`]: the driver and its units |
//!
//! [`plan`] is what is drawn from a seed, [`world`] the simulation: it founds the cluster, lets
//! [`operators`] work while [`faults`] happen, heals, waits until the cluster has [`settled`], and
//! wants to see nothing happen after that. [`mod@reference`] and [`verify`] are the checks; the labels
//! of what they find (S1, L2) are those of the judge of histories, `meridian_testkit::check`.
//!
//! # What makes it deterministic
//!
//! One thread runs everything. Each host has a runtime of its own with paused time. The stores that
//! use threads are replaced below their seams; a database that never blocks has a task for its
//! writer. `getrandom` and the clocks of the process are those of `mad-turmoil`: hash maps, tokio's
//! fair `select!`, openraft's election time-outs and every UUID come from the seed. A process
//! simulates one seed only, since some counters (tokio's seeds among them) belong to the process.

pub mod agent;
pub mod disk;
pub mod faults;
pub mod machine;
pub mod network;
pub mod operators;
pub mod panics;
pub mod plan;
pub mod reference;
pub mod settled;
pub mod trace;
pub mod verify;
pub mod world;

use mad_turmoil::time::SimClocksGuard;
use rand_010::SeedableRng;

use crate::plan::Plan;
use crate::trace::Print;
use crate::world::{Figures, World};

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// What was wrong, if anything was.
    pub failure: Option<String>,
    /// The hash of everything that happened.
    pub hash: String,
    /// How much that was.
    pub notes: u64,
    /// What was counted.
    pub figures: Figures,
}

/// Simulates `seed`. To be called once in the life of a process.
///
/// # Panics
/// If it is called twice.
#[must_use]
pub fn simulate(seed: u64, print: Print) -> Outcome {
    simulate_plan(Plan::of(seed), print)
}

/// Simulates a plan that may differ from the one of its seed. To be called once in the life of a
/// process.
///
/// # Panics
/// If it is called twice.
#[must_use]
pub fn simulate_plan(plan: Plan, print: Print) -> Outcome {
    panics::watch();
    mad_turmoil::rand::set_rng(rand_010::rngs::StdRng::seed_from_u64(plan.seed));
    // A thread that nothing ran on before: what it keeps for itself is drawn from the seed.
    let simulated = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
        let _clocks = SimClocksGuard::init();
        trace::begin(print);
        let mut world = World::new(plan);
        let failure = world.run().err().map(|error| format!("{error:#}"));
        let (hash, notes) = trace::hash();
        let outcome = Outcome { failure, hash, notes, figures: world.figures.clone() };
        // Nothing that its end does is of interest, and some of it would take long.
        std::mem::forget(world);
        outcome
    });
    let simulated = simulated.expect("a process may have a second thread").join();
    simulated.unwrap_or_else(|_| Outcome {
        failure: Some(format!("a panic: {}", panics::first().unwrap_or_default())),
        hash: String::new(),
        notes: 0,
        figures: Figures::default(),
    })
}
