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
//! | `faults`, `effects` | injects each fault, and looks whether it was felt |
//! | `heal` | ends all faults, waits for convergence, watches the calm |
//! | `run` | all of that, in order |

mod calls;
mod clients;
mod cluster;
mod effects;
mod faults;
mod heal;
mod observe;
mod options;
mod run;
mod schedule;

use std::path::Path;

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
            Ok(tell(&run::run(&schedule, &options, &out).await?))
        }
        Task::Check { history } => judge(&history),
    }
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
