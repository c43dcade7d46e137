//! `meridian status`.

use clap::Args;

use super::options::{Options, ReadOptions};

/// `meridian status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit codes with --check: 0 healthy, 10 degraded, 11 no region of a service
serves, or changes are refused.

Examples:
  meridian status
  meridian status --check -o json")]
pub struct StatusArgs {
    /// Exit with 10 if the cluster is degraded, and with 11 if no region of a service
    /// serves, or changes are refused
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
