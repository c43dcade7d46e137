//! A simulated cluster, with the faults that reveal a planted bug. Exits with 1 and prints the
//! violation if a check fails.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use meridian_simulation::plan::{Fault, Plan};
use meridian_simulation::simulate_plan;
use meridian_simulation::trace::Print;

/// Simulates three agents with busy operators and frequent faults
#[derive(Debug, Parser)]
struct Arguments {
    /// Seed of the simulation.
    #[arg(long)]
    seed: u64,
    /// Kinds of faults to inject.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Maximum latency of a sync in milliseconds.
    #[arg(long)]
    sync: Option<u64>,
    /// Number of log entries between two snapshots; no entries are retained after one.
    #[arg(long)]
    snapshot_after: Option<u64>,
    /// Prints the events of the simulation.
    #[arg(long)]
    trace: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plan = plan(&arguments)?;
    let print = if arguments.trace { Print::Events } else { Print::Nothing };
    let outcome = simulate_plan(plan, print);
    match &outcome.failure {
        Some(failure) => println!("{failure}"),
        None => println!("no violation: {}", outcome.figures),
    }
    // Exit immediately, without waiting for cleanup of the simulation thread.
    std::io::stdout().flush()?;
    std::process::exit(i32::from(outcome.failure.is_some()))
}

fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let mut plan = Plan::of(arguments.seed);
    plan.faults = arguments.faults.iter().map(|name| fault(name)).collect::<Result<_, _>>()?;
    plan.agents.truncate(3);
    plan.initial_agents = 3;
    plan.operators = 6;
    plan.think_time = Duration::from_millis(200);
    plan.fault_phase = Duration::from_secs(20);
    plan.fault_gap = Duration::from_secs(2);
    plan.fault_length = Duration::from_secs(3);
    if let Some(max_ms) = arguments.sync {
        plan.sync = (Duration::ZERO, Duration::from_millis(max_ms));
    }
    if let Some(entries) = arguments.snapshot_after {
        (plan.snapshot_after, plan.keep_entries) = (entries, 0);
    }
    Ok(plan)
}

fn fault(name: &str) -> anyhow::Result<Fault> {
    let named = |fault: &Fault| format!("{fault:?}") == name;
    Fault::ALL.into_iter().find(named).with_context(|| format!("unknown fault {name}"))
}
