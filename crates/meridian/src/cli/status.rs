//! `meridian status`.

use clap::Args;

use super::options::{Options, ReadOptions};

/// `meridian status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Options of a read.
    #[command(flatten)]
    pub read: ReadOptions,
}

impl StatusArgs {
    pub(super) fn options(&self) -> Options {
        Options::from(&self.read)
    }
}
