//! `meridian unit`.

use clap::{Args, Subcommand};

/// What can be done with units.
#[derive(Debug, Clone, Subcommand)]
pub enum UnitCommand {
    /// List the units of one service or of all
    List,
    /// Replace the units of a service one after another, without lowering its capacity
    #[command(after_help = "\
In each region a new unit is ready before the old one finishes its calls and stops. The roll goes on
by itself, also under another leader; a new unit that does not become ready stops it in that region.

Examples:
  meridian unit roll
  meridian unit roll contoso --region eastus --wait --wait-timeout 10m")]
    Roll(RollArgs),
}

/// `meridian unit roll`.
#[derive(Debug, Clone, Args)]
pub struct RollArgs {
    /// The service [default: the only one there is]
    #[arg(id = "rolled", value_name = "SERVICE")]
    pub service: Option<String>,
    /// The only region to replace units in [default: all of the service's]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}
