//! `meridian unit`.

use clap::{Args, Subcommand};

use super::options::{ChangeOptions, Options, ReadOptions, ServiceOption, WaitOptions};

/// Subcommands of `meridian unit`.
#[derive(Debug, Clone, Subcommand)]
pub enum UnitCommand {
    /// List the units of all services or of one
    #[command(visible_alias = "ls")]
    List(UnitListArgs),
    /// Replace the units of a service one by one, without losing capacity
    #[command(after_help = "\
In each region, a new unit becomes ready before the old one drains and stops.
The roll continues on its own, also after a leader change. A new unit that does
not become ready stops the roll in its region.

Examples:
  meridian unit roll
  meridian unit roll contoso --region eastus --wait --wait-timeout 10m")]
    Roll(RollArgs),
}

impl UnitCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::List(args) => {
                Options { service: args.service.clone(), ..Options::from(&args.read) }
            }
            Self::Roll(args) => {
                let options = Options::from(&args.change).with_wait(&args.wait);
                Options { service: args.option.service.clone(), ..options }
            }
        }
    }
}

/// `meridian unit list`.
#[derive(Debug, Clone, Args)]
pub struct UnitListArgs {
    /// Only the units of this service [default: all services]
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Consistency, agents and output format.
    #[command(flatten)]
    pub read: ReadOptions,
}

/// `meridian unit roll`.
#[derive(Debug, Clone, Args)]
pub struct RollArgs {
    /// Service [default: the only one]
    #[arg(id = "rolled", value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only this region [default: all regions of the service]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The service as an option.
    #[command(flatten)]
    pub option: ServiceOption,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change. A roll changes no configuration, so it cannot conflict with a
    /// change.
    #[command(flatten)]
    pub change: ChangeOptions,
}
