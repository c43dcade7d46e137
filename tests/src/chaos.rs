//! Real agents under real faults. See `src/bin/meridian-chaos.rs` for the usage, and
//! `meridian_testkit::check` for the invariants.
//!
//! | module | purpose |
//! | --- | --- |
//! | `options` | command-line options |
//! | `schedule` | the schedule of faults, generated from a seed |
//! | `cluster` | the agents: processes, and the network between them |
//! | `operations`, `clients` | recorded operations, and the clients that submit them |
//! | `observe` | records watches, leaders, processes and snapshots |
//! | `faults`, `effects`, `pid_squatter` | injects each fault, and verifies its effect |
//! | `heal` | removes all faults, waits for convergence and for the quiescent phase |
//! | `resources` | samples of the agents' resources at rest |
//! | `run` | runs all of the above |
//! | `shrink` | minimizes a failing schedule |
//! | `table` | the impact of each kind of fault |

mod clients;
mod cluster;
mod effects;
mod faults;
mod heal;
mod observe;
mod operations;
mod options;
mod pid_squatter;
mod resources;
mod run;
mod schedule;
mod shrink;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use meridian_testkit::check::{Verdict, check};
use meridian_testkit::history;

use options::Task;
pub use options::{Options, RunOptions};
pub use schedule::{Kind, Schedule};

/// Runs the command. Returns true if no invariant was violated.
///
/// # Errors
/// If the command fails.
pub async fn main(options: Options) -> anyhow::Result<bool> {
    match options.task {
        Task::Run(options) => {
            let schedule = options.schedule()?;
            let out = options.out(&schedule)?;
            println!("{}", serde_json::to_string_pretty(&schedule)?);
            Ok(print_verdict(&run::run(&schedule, &options, &out).await?))
        }
        Task::Check { history } => check_file(&history),
        Task::Table { verdict, into } => write_table(verdict.as_deref(), into.as_deref()),
        Task::Shrink { run, repeat } => shrink(&run, repeat).await,
    }
}

/// Minimizes a failing schedule: the result violates at least one of the same invariants.
async fn shrink(options: &RunOptions, repeat: u32) -> anyhow::Result<bool> {
    let schedule = options.schedule()?;
    let out = options.out(&schedule)?;
    let wanted = violated(&schedule, options, &out, repeat, None).await?;
    if wanted.is_empty() {
        println!("no invariant was violated in {repeat} runs; nothing to shrink");
        return Ok(true);
    }
    let smallest = shrink::shrink(&schedule, async |candidate| {
        let violated = violated(candidate, options, &out, repeat, Some(&wanted)).await?;
        Ok(!violated.is_disjoint(&wanted))
    });
    let smallest = serde_json::to_string_pretty(&smallest.await?)?;
    let path = out.join("shrunk.json");
    fs::write(&path, &smallest)?;
    println!("{smallest}\n{wanted:?} violated by {}", path.display());
    Ok(false)
}

/// Repeats a schedule until a run violates an invariant, one of `wanted` if given, and returns the
/// violated ones.
async fn violated(
    schedule: &Schedule,
    options: &RunOptions,
    out: &Path,
    repeat: u32,
    wanted: Option<&BTreeSet<String>>,
) -> anyhow::Result<BTreeSet<String>> {
    for _ in 0..repeat {
        let verdict = run::run(schedule, options, out).await?;
        let found: BTreeSet<_> = verdict.violations.into_iter().map(|it| it.invariant).collect();
        // V1 is ignored: a schedule with few faults fails it by design.
        let found: BTreeSet<_> = found.into_iter().filter(|it| it != "V1").collect();
        if wanted.map_or(!found.is_empty(), |wanted| !found.is_disjoint(wanted)) {
            return Ok(found);
        }
    }
    Ok(BTreeSet::new())
}

/// Prints the table of a run, or inserts it into a file.
fn write_table(verdict: Option<&Path>, into: Option<&Path>) -> anyhow::Result<bool> {
    let read = |path: &Path| -> anyhow::Result<Verdict> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read verdict {}", path.display()))?;
        serde_json::from_str(&text).context("not a verdict of this version")
    };
    let verdict = verdict.map(read).transpose()?;
    let table = table::of(verdict.as_ref());
    match into {
        None => print!("{table}"),
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            fs::write(path, table::replace(&text, &table)?)?;
        }
    }
    Ok(verdict.is_none_or(|verdict| verdict.violations.is_empty()))
}

fn check_file(path: &Path) -> anyhow::Result<bool> {
    Ok(print_verdict(&check(&history::read(path)?)))
}

/// Prints the summary and all violations.
fn print_verdict(verdict: &Verdict) -> bool {
    let Verdict { summary, violations } = verdict;
    print!("{summary}");
    println!("{:<24}{:>10}", "violations", violations.len());
    for violation in violations {
        println!("{violation}");
    }
    violations.is_empty()
}
