//! `simulate`: simulates seeds, and says which fail.

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

/// Pairs of simulations in which a difference is looked for that was seen once.
const ATTEMPTS: u32 = 5;

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
    /// Simulates each seed twice, and compares what happened: a seed gives everything, so one that
    /// went two ways fails, with the first thing that differed.
    #[arg(long, conflicts_with = "seed")]
    twice: bool,
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
                    let ran = match arguments.twice {
                        false => run(&program, seed),
                        true => run_twice(&program, seed),
                    };
                    match ran {
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
fn run(program: &Path, seed: u64) -> anyhow::Result<(bool, String)> {
    let output = Command::new(program).args(["--seed", &seed.to_string()]).output();
    let output = output.context("a simulation could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().map_or_else(
        || format!("FAILED  seed {seed}: it ended without a word: {}", output.status),
        str::to_owned,
    );
    Ok((output.status.success(), line))
}

/// Simulates a seed in two processes, one after the other: as [`run`], but a seed that went two ways
/// did not go well.
fn run_twice(program: &Path, seed: u64) -> anyhow::Result<(bool, String)> {
    let (went_well, line) = run(program, seed)?;
    let (_, again) = run(program, seed)?;
    if line == again {
        return Ok((went_well, line));
    }
    let difference = (0..ATTEMPTS).find_map(|_| first_difference(program, seed).transpose());
    let difference = difference.transpose()?.unwrap_or_else(|| {
        format!("it went one way only in {ATTEMPTS} further pairs: what differed is not known")
    });
    Ok((false, format!("FAILED  seed {seed} went two ways: {line} | {again}; {difference}")))
}

/// Where two simulations of a seed differ first, if they do.
fn first_difference(program: &Path, seed: u64) -> anyhow::Result<Option<String>> {
    let trace = || -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(["--seed", &seed.to_string(), "--trace", "--trace"]);
        let output = command.output().context("a simulation could not be started")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (one, other) = (trace()?, trace()?);
    let (mut one, mut other) = (one.lines(), other.lines());
    for number in 1_u64.. {
        match (one.next(), other.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let [a, b] = [a, b].map(|line| line.unwrap_or("the end"));
                return Ok(Some(format!("line {number} of the trace: {a} | {b}")));
            }
        }
    }
    Ok(None)
}

/// Seconds since the machine was started. The clocks of this process are simulated ones.
fn uptime() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/uptime").context("/proc/uptime cannot be read")?;
    let seconds = text.split(' ').next().context("/proc/uptime is empty")?;
    Ok(seconds.parse()?)
}
