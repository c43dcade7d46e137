//! `simulate`: simulates seeds, and prints those that fail.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use clap::Parser;
use meridian_simulation::plan::Plan;
use meridian_simulation::trace::Print;
use meridian_simulation::{Outcome, simulate};

/// Number of pairs of simulations that are searched for a difference that occurred once.
const ATTEMPTS: u32 = 5;

/// Simulates clusters, one per seed
///
/// Prints one line for each failing seed, and the number of seeds per second. Exits with 1 if any
/// seed fails.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds to simulate, each in its own process: FROM..TO, excluding TO.
    #[arg(long, value_parser = seeds, default_value = "0..200", conflicts_with = "seed")]
    seeds: std::ops::Range<u64>,
    /// Number of concurrent processes. Default: the number of CPUs.
    #[arg(long)]
    jobs: Option<usize>,
    /// Simulates each seed twice and compares the traces. A seed determines the simulation, so a
    /// seed with different traces fails; the first difference is printed.
    #[arg(long, conflicts_with = "seed")]
    twice: bool,
    /// Prints one line for each seed, not only for failing ones.
    #[arg(long)]
    verbose: bool,
    /// Simulates only this seed, in this process.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints events; given twice, also network messages.
    #[arg(long, action = clap::ArgAction::Count)]
    trace: u8,
    /// With --seed: prints the log of the agents, filtered like RUST_LOG.
    #[arg(long)]
    log: Option<String>,
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    parsed.ok_or_else(|| format!("invalid range of seeds {text:?}; use FROM..TO, such as 0..200"))
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => Ok(run_one(seed, &arguments)),
        None => run_all(&arguments),
    }
}

fn run_one(seed: u64, arguments: &Arguments) -> ExitCode {
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
    // Exit immediately, without waiting for cleanup of the simulation thread.
    let _ = std::io::stdout().flush();
    std::process::exit(i32::from(failure.is_some()))
}

fn run_all(arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
                    let result = match arguments.twice {
                        false => run(&program, seed),
                        true => run_twice(&program, seed),
                    };
                    match result {
                        Ok((true, line)) if arguments.verbose => println!("{line}"),
                        Ok((true, _)) => {}
                        Ok((false, line)) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("{line}; replay: simulate --seed {seed} --trace");
                        }
                        Err(error) => {
                            errors
                                .lock()
                                .expect("no thread panics while holding the lock")
                                .push(error);
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = errors.into_inner().expect("no thread panics while holding the lock").pop()
    {
        return Err(error);
    }
    let (count, failed) = (arguments.seeds.clone().count(), failed.into_inner());
    let seconds = uptime()? - began;
    let rate = count as f64 / seconds.max(0.01);
    println!("{count} seeds, {failed} failed, {seconds:.1} s, {rate:.2} seeds/s with {jobs} jobs");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Simulates a seed in a new process; returns whether it succeeded, and its output line.
fn run(program: &Path, seed: u64) -> anyhow::Result<(bool, String)> {
    let output = Command::new(program).args(["--seed", &seed.to_string()]).output();
    let output = output.context("cannot start a simulation")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().map_or_else(
        || format!("FAILED  seed {seed}: exited without output: {}", output.status),
        str::to_owned,
    );
    Ok((output.status.success(), line))
}

/// Simulates a seed in two processes, one after the other, like [`run`]. Different output is a
/// failure.
fn run_twice(program: &Path, seed: u64) -> anyhow::Result<(bool, String)> {
    let (success, line) = run(program, seed)?;
    let (_, second) = run(program, seed)?;
    if line == second {
        return Ok((success, line));
    }
    let difference = (0..ATTEMPTS).find_map(|_| first_difference(program, seed).transpose());
    let difference = difference
        .transpose()?
        .unwrap_or_else(|| format!("no difference in {ATTEMPTS} further pairs of runs"));
    Ok((
        false,
        format!("FAILED  seed {seed} is not deterministic: {line} | {second}; {difference}"),
    ))
}

/// Returns the first difference between the traces of two simulations of a seed, if any.
fn first_difference(program: &Path, seed: u64) -> anyhow::Result<Option<String>> {
    let trace = || -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(["--seed", &seed.to_string(), "--trace", "--trace"]);
        let output = command.output().context("cannot start a simulation")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (one, other) = (trace()?, trace()?);
    let (mut one, mut other) = (one.lines(), other.lines());
    for number in 1_u64.. {
        match (one.next(), other.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let [a, b] = [a, b].map(|line| line.unwrap_or("(end)"));
                return Ok(Some(format!(
                    "first difference in line {number} of the trace: {a} | {b}"
                )));
            }
        }
    }
    Ok(None)
}

/// Returns the uptime of the machine in seconds. The clocks of this process are simulated.
fn uptime() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    let seconds = text.split(' ').next().context("/proc/uptime is empty")?;
    Ok(seconds.parse()?)
}
