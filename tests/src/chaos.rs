//! Real agents under real faults. `src/bin/meridian-chaos.rs` says how it is used, and
//! `meridian_testkit::check` what must hold.
//!
//! | module | does |
//! | --- | --- |
//! | `options` | what the command line offers |
//! | `schedule` | which faults, and when: generated from a seed |
//! | `cluster` | the agents: their processes, and the network between them |
//! | `calls`, `clients` | a recorded call, and clients that make them |
//! | `observe` | watches, leaders, processes, snapshots |
//! | `faults`, `effects`, `innocent` | injects each fault, and looks whether it was felt |
//! | `heal` | ends all faults, waits for convergence, watches the calm |
//! | `run` | all of that, in order |
//! | `shrink` | a failing schedule with fewer faults |
//! | `table` | how each kind of fault was survived |

mod calls;
mod clients;
mod cluster;
mod effects;
mod faults;
mod heal;
mod innocent;
mod observe;
mod options;
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

/// Does what the command line says. Returns whether nothing was violated.
///
/// # Errors
/// If it cannot be done.
pub async fn main(options: Options) -> anyhow::Result<bool> {
    match options.task {
        Task::Run(options) => {
            let schedule = options.schedule()?;
            let out = options.out(&schedule)?;
            println!("{}", serde_json::to_string_pretty(&schedule)?);
            Ok(tell(&run::run(&schedule, &options, &out).await?))
        }
        Task::Check { history } => judge(&history),
        Task::Table { verdict, into } => tabulate(verdict.as_deref(), into.as_deref()),
        Task::Shrink { run, repeat } => shrink(&run, repeat).await,
    }
}

/// Shrinks a failing schedule to one that violates an invariant that it violates, too.
async fn shrink(options: &RunOptions, repeat: u32) -> anyhow::Result<bool> {
    let schedule = options.schedule()?;
    let out = options.out(&schedule)?;
    let wanted = violated(&schedule, options, &out, repeat, None).await?;
    if wanted.is_empty() {
        println!("nothing was violated in {repeat} runs, so there is nothing to shrink");
        return Ok(true);
    }
    let least = shrink::shrink(&schedule, async |candidate| {
        let violated = violated(candidate, options, &out, repeat, Some(&wanted)).await?;
        Ok(!violated.is_disjoint(&wanted))
    });
    let least = serde_json::to_string_pretty(&least.await?)?;
    let path = out.join("shrunk.json");
    fs::write(&path, &least)?;
    println!("{least}\n{wanted:?} in {}", path.display());
    Ok(false)
}

/// What is violated in the first of some runs in which something is: one of `wanted`, if given.
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
        // A schedule with few faults is not worth much by itself.
        let found: BTreeSet<_> = found.into_iter().filter(|it| it != "V1").collect();
        if wanted.map_or(!found.is_empty(), |wanted| !found.is_disjoint(wanted)) {
            return Ok(found);
        }
    }
    Ok(BTreeSet::new())
}

/// Prints the table of a run, or puts it into a file.
fn tabulate(verdict: Option<&Path>, into: Option<&Path>) -> anyhow::Result<bool> {
    let read = |path: &Path| -> anyhow::Result<Verdict> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("no verdict at {}", path.display()))?;
        serde_json::from_str(&text).context("is no verdict of this version")
    };
    let verdict = verdict.map(read).transpose()?;
    let table = table::of(verdict.as_ref());
    match into {
        None => print!("{table}"),
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            fs::write(path, table::replaced(&text, &table)?)?;
        }
    }
    Ok(verdict.is_none_or(|verdict| verdict.violations.is_empty()))
}

fn judge(path: &Path) -> anyhow::Result<bool> {
    Ok(tell(&check(&history::read(path)?)))
}

/// Prints the summary and all violations.
fn tell(verdict: &Verdict) -> bool {
    let Verdict { summary, violations } = verdict;
    print!("{summary}");
    println!("{:<24}{:>10}", "violations", violations.len());
    for violation in violations {
        println!("{violation}");
    }
    violations.is_empty()
}
