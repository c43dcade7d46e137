//! What can be typed: the commands and their flags, as `clap` definitions.
//!
//! Nothing here talks to a cluster; [`crate::client`] does what the commands say.

mod agent;
mod api;
mod arguments;
mod cluster;
mod count;
mod dev;
mod duration;
mod edit;
mod events;
mod global;
mod region;
pub mod scope;
mod service;
mod unit;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use agent::{AgentArgs, AgentCommand, AgentInvocation, CONFIG_VARIABLE};
pub use api::{ApiCommand, Backend, PublishArgs};
pub use cluster::{ClusterCommand, DrainArgs, LimitsCommand, LimitsSetArgs};
pub use dev::{AttachArgs, DevArgs, DevCommand, LayoutArgs};
pub use edit::RegionEdit;
pub use events::EventsArgs;
pub use global::{DEFAULT_ENDPOINTS, ENDPOINTS_VARIABLE, Format, GlobalArgs};
pub use region::{AddArgs, DefineArgs, RegionCommand, ScaleArgs};
pub use service::{CreateArgs, ServiceCommand, UpdateArgs};
pub use unit::{RollArgs, UnitCommand};

const EXAMPLES: &str = "\
Examples:
  meridian dev                                         start a cluster on this machine
  meridian region add eastus --units 2 --wait          serve from one more region
  meridian region set westeurope=3 eastus=2 -southeastasia   several edits, one save
  meridian api publish orders --path /orders --backend http://127.0.0.1:9000
  meridian region list                                 what is wanted, and what is there
  meridian events --follow                             what happens, as it happens

Exit codes:
  0  done
  1  refused by a rule
  2  wrong usage
  3  conflict with an expected revision
  4  nobody reachable or no majority, and certainly nothing proposed
  5  outcome unknown: the message has the command that asks again";

/// Keeps API gateways at the declared capacity in many regions.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Flags that stand before or after the command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What people and scripts ask of a cluster.
    #[command(flatten)]
    Client(ClientCommand),
    /// Run the agent of this machine, or drain one
    #[command(args_conflicts_with_subcommands = true)]
    Agent(AgentInvocation),
    /// Run a whole cluster on this machine, to try things out
    Dev(DevArgs),
}

/// What people and scripts ask of a cluster, through any of its agents.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// Services: create, list, show, update, delete
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Regions: the catalogue, and the regions of a service
    #[command(subcommand)]
    Region(RegionCommand),
    /// APIs: publish, list, show, remove
    #[command(subcommand)]
    Api(ApiCommand),
    /// Units: list, roll
    #[command(subcommand)]
    Unit(UnitCommand),
    /// Show what happened, and with --follow what happens
    Events(EventsArgs),
    /// Show how far every agent is, and what an operator should know
    Status,
    /// The cluster: members, leadership, snapshots, limits, history
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// `meridian agent drain`; the word `agent` is shared with the daemon, so the root of the
    /// command line names it.
    #[command(skip)]
    AgentDrain(DrainArgs),
}

impl Cli {
    /// Reads the arguments of the process, the program's name first.
    ///
    /// # Errors
    /// The code to exit with, once help, the version or a fault of usage was printed.
    pub fn from_arguments(raw: impl Iterator<Item = OsString>) -> Result<Self, ExitCode> {
        let marked = arguments::mark_removals(&Self::command(), raw);
        let named = arguments::named_command(&Self::command(), &marked);
        Self::try_parse_from(marked).map_err(|error| usage::report(&error, &named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_and_command_has_help() {
        fn visit(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some(), "{}: {id}", command.get_name());
            }
            for inner in command.get_subcommands() {
                assert!(inner.get_about().is_some(), "{}", inner.get_name());
                visit(inner);
            }
        }
        visit(&Cli::command());
    }
}
