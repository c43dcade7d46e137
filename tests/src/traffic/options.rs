//! Command-line options.

use clap::Parser;

/// Sends requests to three agents' gateways during changes and crashes, and counts the lost ones
#[derive(Debug, Clone, Parser)]
#[command(name = "traffic", max_term_width = 100)]
pub struct Options {
    /// Total duration of all phases in seconds, 30 to 3600. A phase takes longer if its change does
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(30..=3600))]
    pub seconds: u64,
}
