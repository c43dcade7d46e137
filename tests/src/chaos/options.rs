//! Command-line options.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use super::schedule::{Kind, Schedule};

/// Runs real agents under real faults, and checks the recorded history.
#[derive(Debug, Parser)]
#[command(name = "meridian-chaos")]
pub struct Options {
    #[command(subcommand)]
    pub(super) task: Task,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Runs a cluster under faults. As root, each agent has its own network namespace, and packets
    /// between agents are lost, delayed, duplicated and reordered. Without root, proxies between
    /// the agents delay streams instead, and nothing is duplicated or reordered.
    Run(RunOptions),
    /// Prints the table of docs/faults.md: the impact of each kind of fault in a run.
    Table {
        /// The file `verdict.json` of the run. Without it, the table has no numbers.
        verdict: Option<PathBuf>,
        /// Replaces the table in this file instead of printing it.
        #[arg(long)]
        into: Option<PathBuf>,
    },
    /// Minimizes a failing schedule by dropping faults while it still fails.
    Shrink {
        #[command(flatten)]
        run: RunOptions,
        /// Maximum number of runs per schedule: more for intermittent failures.
        #[arg(long, default_value_t = 2)]
        repeat: u32,
    },
    /// Checks a recorded history.
    Check {
        /// The file `history.jsonl` of a run.
        history: PathBuf,
    },
}

/// Options of a run.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Seed of the generated schedule.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Duration of the load phase in minutes, followed by convergence and the quiescent phase.
    /// Default: 1, or 60 for a soak.
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Runs for an hour, and prints the progress every minute.
    #[arg(long)]
    pub soak: bool,
    /// Number of agents, each in its own region: 3 to 5.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub agents: u8,
    /// Kinds of faults to inject. Default: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<Kind>,
    /// Replays the schedule in this file, written by an earlier run, instead of generating one.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "agents", "faults"])]
    pub schedule: Option<PathBuf>,
    /// Number of concurrent clients.
    #[arg(long, default_value_t = 6)]
    pub clients: u64,
    /// Duration of the quiescent phase in seconds.
    #[arg(long, default_value_t = 30)]
    pub quiescent: u64,
    /// Output directory for the schedule, the history and the logs of the agents. Default: a
    /// temporary directory with the seed in its name.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

impl RunOptions {
    pub(super) fn schedule(&self) -> anyhow::Result<Schedule> {
        let Some(path) = &self.schedule else {
            let kinds = if self.faults.is_empty() { Kind::all() } else { self.faults.clone() };
            let minutes = self.minutes.unwrap_or(if self.soak { 60.0 } else { 1.0 });
            return Ok(Schedule::generate(self.seed, minutes, self.agents, &kinds));
        };
        let file =
            File::open(path).with_context(|| format!("cannot open schedule {}", path.display()))?;
        serde_json::from_reader(file)
            .with_context(|| format!("invalid schedule {}", path.display()))
    }

    pub(super) fn out(&self, schedule: &Schedule) -> anyhow::Result<PathBuf> {
        let name = format!("meridian-chaos-{}", schedule.seed);
        let out = self.out.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        Ok(out)
    }
}
