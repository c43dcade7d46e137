//! `meridian status`.

use clap::Args;

use super::options::{Options, ReadOptions};

/// `meridian status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit codes with --check: 0 healthy, 10 degraded, 11 changes are refused.

Examples:
  meridian status
  meridian status --check -o json")]
pub struct StatusArgs {
    /// Exit with 10 if the cluster is degraded, and with 11 if it refuses changes
    #[arg(long)]
    pub check: bool,
    /// Options of a read.
    #[command(flatten)]
    pub read: ReadOptions,
}

impl StatusArgs {
    pub(super) fn options(&self) -> Options {
        Options::from(&self.read)
    }
}
