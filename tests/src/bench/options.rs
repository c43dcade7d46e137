//! Command-line options of the benchmark.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;

/// `f_type` of tmpfs (statfs(2)): syncs to memory would make the results meaningless.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Benchmarks a cluster of three agents against etcd, and a gateway unit against nginx
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", max_term_width = 100)]
pub struct Options {
    /// Measurements to run [default: all]
    #[arg(value_enum)]
    pub measurements: Vec<Measurement>,

    /// Numbers of concurrent clients, 1 to 256 each
    #[arg(
        long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 16, 64, 256],
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub clients: Vec<u16>,

    /// Duration of each load per round in seconds, 1 to 60
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,

    /// Number of rounds, 1 to 20
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    pub rounds: u16,

    /// Number of events in the log for `restart`, 1,000 to 1,000,000
    #[arg(
        long, default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1_000..=1_000_000)
    )]
    pub events: u64,

    /// Skip the comparison with etcd
    #[arg(long)]
    pub skip_etcd: bool,

    /// Number of requests for `failures`, over all kinds, 1,000 to 10,000,000
    #[arg(
        long, default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1_000..=10_000_000)
    )]
    pub requests: u64,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Directory for data of the processes; must not be in memory [default: the system's temporary
    /// directory]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,

    /// Path of the `meridian` binary [default: a release build of this workspace]
    #[arg(long, value_name = "FILE", env = "MERIDIAN_PROGRAM")]
    pub program: Option<PathBuf>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// Throughput and latency of changes
    Changes,
    /// Time from a killed leader to the next acknowledged change
    Failover,
    /// Time from an acknowledged scale to a ready unit
    Scale,
    /// Resident memory of an idle agent
    Memory,
    /// Time to start an agent with a long log
    Restart,
    /// A unit as a proxy, compared with nginx
    Gateway,
    /// A unit with failing backends
    Failures,
    /// Decisions of the routing
    Routing,
}

impl Options {
    /// Returns true if the measurement is selected.
    pub(super) fn measures(&self, measurement: Measurement) -> bool {
        self.measurements.is_empty() || self.measurements.contains(&measurement)
    }

    /// Returns true if a selected measurement needs a cluster.
    pub(super) fn measures_cluster(&self) -> bool {
        use Measurement::{Changes, Failover, Memory, Restart, Scale};
        [Changes, Failover, Memory, Restart, Scale].iter().any(|one| self.measures(*one))
    }

    /// Returns true if a selected measurement needs processes.
    pub(super) fn measures_processes(&self) -> bool {
        use Measurement::{Failures, Gateway};
        self.measures_cluster() || [Failures, Gateway].iter().any(|one| self.measures(*one))
    }

    /// Returns true if a selected measurement is also run on etcd.
    pub(super) fn compares(&self) -> bool {
        self.measures(Measurement::Changes) || self.measures(Measurement::Failover)
    }

    /// Creates a temporary directory on a disk.
    pub(super) fn directory(&self) -> anyhow::Result<TempDir> {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let context = || format!("cannot use {}", parent.display());
        reject_tmpfs(&parent).with_context(context)?;
        tempfile::Builder::new().prefix("meridian-bench-").tempdir_in(&parent).with_context(context)
    }
}

fn reject_tmpfs(path: &Path) -> anyhow::Result<()> {
    let kind = rustix::fs::statfs(path)?.f_type;
    anyhow::ensure!(
        kind != TMPFS_MAGIC,
        "the directory is in memory; pass a directory on a disk with --dir"
    );
    Ok(())
}
