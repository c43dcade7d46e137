//! Deterministic simulation: a cluster in one thread, on a simulated clock, network, disks and
//! machines. The seed determines everything, so a failure is replayed exactly.
//!
//! | real | simulated |
//! | --- | --- |
//! | domain, replication (openraft and gRPC included), reconciler | time and network (turmoil) |
//! | the log store, the derived store, snapshots, membership | [`disk`]: the storage interfaces below the stores, with loss of unsynced writes |
//! | changes submitted to the log, and the events in it | [`machine`]: the driver and its units |
//!
//! [`plan`] draws the parameters from a seed, and [`world`] runs the simulation: it bootstraps the
//! cluster, lets [`operators`] submit changes while [`faults`] are injected, removes the faults,
//! waits for [`convergence`], and verifies that nothing happens afterwards. [`mod@reference`],
//! [`reachability`] and [`verify`] contain the checks; the names of the invariants (S1, L2) are those of
//! `meridian_testkit::check`.
//!
//! # Determinism
//!
//! One thread runs everything. Each host has its own runtime with paused time. Stores that use
//! threads are replaced below their interfaces; the writer of a database that never blocks is a
//! task, and a journal that never blocks is closed without a thread. `getrandom` and the clocks of
//! the process are provided by `mad-turmoil`: hash maps, tokio's fair `select!`, openraft's election
//! timeouts and all UUIDs are derived from the seed. A
//! process simulates only one seed, because some counters (such as the seeds of tokio) are global
//! to the process.

pub mod agent;
pub mod convergence;
pub mod disk;
pub mod faults;
pub mod gateways;
pub mod machine;
pub mod network;
pub mod operators;
pub mod panics;
pub mod plan;
pub mod reachability;
pub mod reference;
pub mod trace;
pub mod verify;
pub mod world;

use mad_turmoil::time::SimClocksGuard;
use rand_010::SeedableRng;

use crate::plan::Plan;
use crate::trace::Print;
use crate::world::{Figures, World};

/// Result of simulating a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The first failure, if any.
    pub failure: Option<String>,
    /// Hash of the trace.
    pub hash: String,
    /// Number of notes in the trace.
    pub notes: u64,
    /// Counters of the simulation.
    pub figures: Figures,
}

/// Simulates a seed. May be called once per process.
///
/// # Panics
/// If it is called a second time.
#[must_use]
pub fn simulate(seed: u64, print: Print) -> Outcome {
    simulate_plan(Plan::of(seed), print)
}

/// Simulates a plan, which may differ from that of its seed. May be called once per process.
///
/// # Panics
/// If it is called a second time.
#[must_use]
pub fn simulate_plan(plan: Plan, print: Print) -> Outcome {
    panics::watch();
    mad_turmoil::rand::set_rng(rand_010::rngs::StdRng::seed_from_u64(plan.seed));
    // A new thread, whose thread-local state is derived from the seed.
    let simulated = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
        let _clocks = SimClocksGuard::init();
        trace::begin(print);
        let mut world = World::new(plan);
        let failure = world.run().err().map(|error| format!("{error:#}"));
        let (hash, notes) = trace::hash();
        let outcome = Outcome { failure, hash, notes, figures: world.figures.clone() };
        // Dropping the world has no effect on the result, and may take long.
        std::mem::forget(world);
        outcome
    });
    let simulated = simulated.expect("the thread can be started").join();
    simulated.unwrap_or_else(|_| Outcome {
        failure: Some(format!("panic: {}", panics::first().unwrap_or_default())),
        hash: String::new(),
        notes: 0,
        figures: Figures::default(),
    })
}
