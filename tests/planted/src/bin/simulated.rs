//! A whole cluster in the simulation, with those faults that a planted bug needs to show. Exits with 1
//! where something is wrong, and says what.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use meridian_simulation::plan::{Fault, Plan};
use meridian_simulation::simulate_plan;
use meridian_simulation::trace::Print;

/// Three agents, busy operators and frequent faults.
#[derive(Debug, Parser)]
struct Arguments {
    /// What everything is drawn from that is not given.
    #[arg(long)]
    seed: u64,
    /// What goes wrong.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// How long a sync of a disk takes at most, in milliseconds.
    #[arg(long)]
    sync: Option<u64>,
    /// Log entries after which a snapshot is built; no others are kept then.
    #[arg(long)]
    snapshot_after: Option<u64>,
    /// Prints what happens.
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
        None => println!("nothing: {}", outcome.figures),
    }
    // Nothing is to run any more, whatever the thread of the simulation has left.
    std::io::stdout().flush()?;
    std::process::exit(i32::from(outcome.failure.is_some()))
}

fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let mut plan = Plan::of(arguments.seed);
    plan.faults = arguments.faults.iter().map(|name| fault(name)).collect::<Result<_, _>>()?;
    plan.agents.truncate(3);
    plan.founders = 3;
    plan.operators = 6;
    plan.pause = Duration::from_millis(200);
    plan.trouble = Duration::from_secs(20);
    plan.fault_gap = Duration::from_secs(2);
    plan.fault_length = Duration::from_secs(3);
    if let Some(most) = arguments.sync {
        plan.sync = (Duration::ZERO, Duration::from_millis(most));
    }
    if let Some(entries) = arguments.snapshot_after {
        (plan.snapshot_after, plan.keep_entries) = (entries, 0);
    }
    Ok(plan)
}

fn fault(name: &str) -> anyhow::Result<Fault> {
    let named = |fault: &Fault| format!("{fault:?}") == name;
    Fault::ALL.into_iter().find(named).with_context(|| format!("{name} is no fault"))
}
