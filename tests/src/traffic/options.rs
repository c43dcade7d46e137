//! How long.

use clap::Parser;

/// Keeps calls on three agents while they are changed and killed, and counts what is lost.
#[derive(Debug, Clone, Parser)]
#[command(name = "traffic", max_term_width = 100)]
pub struct Options {
    /// How long all phases take together, in seconds: 30 to 3600. A phase takes longer where its
    /// change does
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(30..=3600))]
    pub seconds: u64,
}
