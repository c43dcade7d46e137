//! `simulate`: simulates seeds, and says which fail.

use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use clap::Parser;
use meridian_simulation::plan::Plan;
use meridian_simulation::trace::Print;
use meridian_simulation::{Outcome, simulate};

/// Simulates clusters; each seed is one.
///
/// Prints one line for each seed that fails, and how many there were in a second. Exits with 1 if one
/// fails.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds to simulate, each in a process of its own: FROM..TO, TO excluded.
    #[arg(long, value_parser = seeds, default_value = "0..200", conflicts_with = "seed")]
    seeds: std::ops::Range<u64>,
    /// Processes at the same time; as many as there are processors by default.
    #[arg(long)]
    jobs: Option<usize>,
    /// One line for each seed, not for those alone that fail.
    #[arg(long)]
    verbose: bool,
    /// Simulates this seed alone, in this process.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints what happens; twice, messages on the network too.
    #[arg(long, action = clap::ArgAction::Count)]
    trace: u8,
    /// With --seed: prints what the agents log at this level or above (as RUST_LOG says it).
    #[arg(long)]
    log: Option<String>,
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    parsed.ok_or_else(|| format!("{text:?} is no range of seeds: write FROM..TO, such as 0..200"))
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => Ok(one(seed, &arguments)),
        None => all(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let print = match arguments.trace {
        0 => Print::Nothing,
        1 => Print::Events,
        _ => Print::Messages,
    };
    if let Some(log) = &arguments.log {
        tracing_subscriber::fmt().with_env_filter(log).without_time().with_ansi(false).init();
    }
    let Outcome { failure, hash, notes, figures } = simulate(seed, print);
    let plan = Plan::of(seed);
    match &failure {
        None => println!("ok      {plan}; {figures}; trace {hash} of {notes}"),
        Some(failure) => println!("FAILED  {plan}; {figures}; trace {hash} of {notes}; {failure}"),
    }
    // Nothing is to run any more, whatever the thread of the simulation has left.
    let _ = std::io::stdout().flush();
    std::process::exit(i32::from(failure.is_some()))
}

fn all(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe()?;
    let jobs = arguments.jobs.unwrap_or(std::thread::available_parallelism()?.get());
    let (next, failed) = (AtomicU64::new(arguments.seeds.start), AtomicU64::new(0));
    let errors = Mutex::new(Vec::new());
    let began = uptime()?;
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seeds.end {
                        return;
                    }
                    match run(&program, seed) {
                        Ok((true, line)) if arguments.verbose => println!("{line}"),
                        Ok((true, _)) => {}
                        Ok((false, line)) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("{line}; again: simulate --seed {seed} --trace");
                        }
                        Err(error) => {
                            errors.lock().expect("nobody panics there").push(error);
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = errors.into_inner().expect("nobody panics there").pop() {
        return Err(error);
    }
    let (count, failed) = (arguments.seeds.clone().count(), failed.into_inner());
    let seconds = uptime()? - began;
    let rate = count as f64 / seconds.max(0.01);
    println!("{count} seeds, {failed} failed, {seconds:.1} s, {rate:.2} seeds/s with {jobs} jobs");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Simulates a seed in a process of its own: whether that went well, and its line.
fn run(program: &std::path::Path, seed: u64) -> anyhow::Result<(bool, String)> {
    let output = Command::new(program).args(["--seed", &seed.to_string()]).output();
    let output = output.context("a simulation could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().map_or_else(
        || format!("FAILED  seed {seed}: it ended without a word: {}", output.status),
        str::to_owned,
    );
    Ok((output.status.success(), line))
}

/// Seconds since the machine was started. The clocks of this process are simulated ones.
fn uptime() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/uptime").context("/proc/uptime cannot be read")?;
    let seconds = text.split(' ').next().context("/proc/uptime is empty")?;
    Ok(seconds.parse()?)
}
