//! What is measured, and how long.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;

/// `f_type` of a file system in memory (statfs(2)): a sync to it costs nothing, and says nothing.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Measures a cluster of three agents, and etcd beside it; and a unit, and nginx beside it.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", max_term_width = 100)]
pub struct Options {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    pub measurements: Vec<Measurement>,

    /// Numbers of clients that send changes at once, 1 to 256 each
    #[arg(
        long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 16, 64, 256],
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub clients: Vec<u16>,

    /// How long each number of clients sends changes in a round, or a proxy is called, in seconds:
    /// 1 to 60
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,

    /// How often everything is measured: 1 to 20
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    pub rounds: u16,

    /// Events in the log for `restart`: 1,000 to 1,000,000
    #[arg(
        long, default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1_000..=1_000_000)
    )]
    pub events: u64,

    /// Measure Meridian alone
    #[arg(long)]
    pub skip_etcd: bool,

    /// Calls for `failures`, over all kinds: 1,000 to 10,000,000
    #[arg(
        long, default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1_000..=10_000_000)
    )]
    pub calls: u64,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Where the processes keep their data meanwhile; not in memory [default: the system's directory
    /// for temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,

    /// The `meridian` to measure [default: it is built in the release profile]
    #[arg(long, value_name = "FILE", env = "MERIDIAN_PROGRAM")]
    pub program: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// Changes in a second, and how long one takes
    Changes,
    /// From a killed leader to the next acknowledged change
    Failover,
    /// From an acknowledged scale to a ready unit
    Scale,
    /// Resident memory of an idle agent
    Memory,
    /// Starting an agent with a long log
    Restart,
    /// A unit as a proxy, beside nginx
    Gateway,
    /// A unit whose backends fail
    Failures,
}

impl Options {
    /// Whether this is to be measured.
    pub(super) fn measures(&self, measurement: Measurement) -> bool {
        self.measurements.is_empty() || self.measurements.contains(&measurement)
    }

    /// Whether anything is to be measured that needs a cluster.
    pub(super) fn measures_cluster(&self) -> bool {
        use Measurement::{Changes, Failover, Memory, Restart, Scale};
        [Changes, Failover, Memory, Restart, Scale].iter().any(|one| self.measures(*one))
    }

    /// Whether anything is to be measured that etcd does, too.
    pub(super) fn compares(&self) -> bool {
        self.measures(Measurement::Changes) || self.measures(Measurement::Failover)
    }

    /// A new directory on a disk, which goes when it is dropped.
    pub(super) fn directory(&self) -> anyhow::Result<TempDir> {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let naming = || format!("{} cannot be used", parent.display());
        refuse_memory(&parent).with_context(naming)?;
        tempfile::Builder::new().prefix("meridian-bench-").tempdir_in(&parent).with_context(naming)
    }
}

fn refuse_memory(path: &Path) -> anyhow::Result<()> {
    let kind = rustix::fs::statfs(path)?.f_type;
    anyhow::ensure!(kind != TMPFS_MAGIC, "it is in memory; give a directory on a disk with --dir");
    Ok(())
}
