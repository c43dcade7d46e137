//! What the command line offers.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use super::schedule::{Kind, Schedule};

/// Runs real agents under real faults, and judges what they did.
#[derive(Debug, Parser)]
#[command(name = "meridian-chaos")]
pub struct Options {
    #[command(subcommand)]
    pub(super) task: Task,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Runs a cluster under faults. As root, each agent has a network namespace of its own, and packets
    /// between them are lost, delayed, doubled and reordered. Without root, proxies between the agents
    /// hold streams back instead, and nothing is doubled or reordered.
    Run(RunOptions),
    /// Says how each kind of fault was survived in a run, as the table of README.md.
    Table {
        /// The file `verdict.json` of the run. Without one, the table has no numbers.
        verdict: Option<PathBuf>,
        /// Replaces the table in this file instead of printing it.
        #[arg(long)]
        into: Option<PathBuf>,
    },
    /// Drops faults from a failing schedule while it still fails.
    Shrink {
        #[command(flatten)]
        run: RunOptions,
        /// Runs of each schedule: more where it fails only at times.
        #[arg(long, default_value_t = 2)]
        repeat: u32,
    },
    /// Judges a recorded history again.
    Check {
        /// The file `history.jsonl` of a run.
        history: PathBuf,
    },
}

/// How to run.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// What the schedule is generated from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long clients ask for changes while faults are injected. Healing and calm come after. Default:
    /// 1, and 60 for a soak.
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Goes on for an hour, and says each minute how far it is.
    #[arg(long)]
    pub soak: bool,
    /// Agents, each in a region of its own: 3 or 5.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub agents: u8,
    /// The kinds of faults to choose from. Default: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<Kind>,
    /// Injects the faults of this file, as an earlier run wrote it, instead of generating some.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "agents", "faults"])]
    pub schedule: Option<PathBuf>,
    /// Clients that change and read at the same time.
    #[arg(long, default_value_t = 6)]
    pub clients: u64,
    /// Seconds of calm at the end in which nothing may happen.
    #[arg(long, default_value_t = 30)]
    pub calm: u64,
    /// Where to put the schedule, the history, and the logs of the agents. Default: a directory among
    /// the temporary ones, named by the seed.
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
            File::open(path).with_context(|| format!("no schedule at {}", path.display()))?;
        serde_json::from_reader(file).with_context(|| format!("{} is no schedule", path.display()))
    }

    pub(super) fn out(&self, schedule: &Schedule) -> anyhow::Result<PathBuf> {
        let name = format!("meridian-chaos-{}", schedule.seed);
        let out = self.out.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
        fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
        Ok(out)
    }
}
