//! Commands and options of the binary, as `clap` definitions.
//!
//! Nothing here connects to a cluster; [`crate::client`] runs the commands.

mod agent;
mod api;
mod arguments;
mod call;
mod cluster;
mod count;
mod dev;
#[cfg(test)]
mod documents;
mod duration;
mod edit;
mod events;
pub mod generate;
mod options;
#[cfg(test)]
mod parse;
mod recover;
mod region;
mod routing;
mod service;
mod status;
mod suggest;
#[cfg(test)]
mod tests;
mod unit;
mod usage;

use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

pub use agent::{AgentArgs, AgentCommand, AgentInvocation, CONFIG_VARIABLE};
pub use api::{ApiCommand, Backend, PublishArgs};
pub use call::CallArgs;
pub use cluster::{ClusterCommand, DrainArgs, LimitArgs, LimitsCommand, ReaddressArgs};
pub use count::UnitCount;
pub use dev::{AgentEndpoint, AttachArgs, DevArgs, DevCommand, LayoutArgs};
pub use edit::RegionEdit;
pub use events::EventsArgs;
pub use options::{DEFAULT_ENDPOINTS, ENDPOINTS_VARIABLE, Format, Options};
pub use recover::RecoverArgs;
pub use region::{AddArgs, DefineArgs, PreferenceArgs, RegionCommand, ScaleArgs, SetArgs};
pub use routing::{DnsCommand, DnsSettingArgs, NetworkCommand, RouteArgs};
pub use service::{CreateArgs, ServiceCommand, UpdateArgs};
pub use status::StatusArgs;
pub use unit::{RollArgs, UnitCommand};

use crate::exit;
use arguments::Arranged;

const EXAMPLES: &str = "\
Examples:
  meridian dev                                  start a cluster on this machine
  meridian region add eastus --units 2 --wait   serve from one more region
  meridian region set westeurope=3 eastus=+1 -southeastasia
  meridian api publish orders --path /orders --backend http://127.0.0.1:9000
  meridian region list                          desired and ready units
  meridian events --follow                      events as they happen

Client commands connect to the agents of `meridian dev`, unless --endpoint or
MERIDIAN_ENDPOINTS names others.";

/// Keeps API gateways at the declared capacity in many regions.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = after_help())]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Client commands.
    #[command(flatten)]
    Client(ClientCommand),
    /// Run the agent of this machine, or drain an agent
    #[command(args_conflicts_with_subcommands = true)]
    Agent(AgentInvocation),
    /// Run a cluster on this machine, for development and evaluation
    Dev(DevArgs),
    /// Show or recover the data directory of a stopped agent
    Recover(RecoverArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  source <(meridian completion bash)
  meridian completion zsh > ~/.zfunc/_meridian
  meridian completion fish > ~/.config/fish/completions/meridian.fish")]
    Completion {
        /// Shell
        shell: Shell,
    },
    /// Write man pages to a directory
    #[command(hide = true)]
    Man {
        /// Directory
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Print the version
    Version,
}

/// Commands that connect to a cluster, through any of its agents.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// Create, list, show, update and delete services
    #[command(subcommand, aliases = ["services", "svc"])]
    Service(ServiceCommand),
    /// Add, scale, promote and remove the regions of a service
    #[command(subcommand, alias = "regions")]
    Region(RegionCommand),
    /// Publish, list, show and remove the APIs of a service
    #[command(subcommand, alias = "apis")]
    Api(ApiCommand),
    /// List and roll the units of a service
    #[command(subcommand, alias = "units")]
    Unit(UnitCommand),
    /// Show which region serves a client, and what would change without a region
    Route(RouteArgs),
    /// Call a service as its clients do, and show which region and unit respond
    Call(CallArgs),
    /// Show and change the settings of the name servers
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Assign networks of clients to the regions closest to them
    #[command(subcommand, alias = "networks")]
    Network(NetworkCommand),
    /// Show past events, and with --follow new ones as they happen
    #[command(alias = "event")]
    Events(EventsArgs),
    /// Show the health of the cluster and of each agent
    Status(StatusArgs),
    /// Manage members, leadership, snapshots, limits and history
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// `meridian agent drain`, which [`Command::Agent`] parses.
    #[command(skip)]
    AgentDrain(DrainArgs),
}

impl ClientCommand {
    /// Options in effect for the command.
    pub fn options(&self) -> Options {
        match self {
            Self::Service(command) => command.options(),
            Self::Region(command) => command.options(),
            Self::Api(command) => command.options(),
            Self::Unit(command) => command.options(),
            Self::Route(args) => Options::from(&args.options),
            Self::Call(args) => args.options(),
            Self::Dns(command) => command.options(),
            Self::Network(command) => command.options(),
            Self::Events(args) => args.options(),
            Self::Status(args) => args.options(),
            Self::Cluster(command) => command.options(),
            Self::AgentDrain(args) => args.options(),
        }
    }
}

impl Cli {
    /// Parses the arguments of the process, starting with the program's name.
    ///
    /// # Errors
    /// The exit code, after help, the version or a usage error was printed.
    pub fn from_arguments(raw: impl Iterator<Item = OsString>) -> Result<Self, ExitCode> {
        let definition = Self::definition();
        let Arranged { arguments, command } = arguments::arrange(&definition, raw);
        Self::from_arranged(arguments).map_err(|error| usage::report(&definition, &error, &command))
    }

    fn from_arranged(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let matches = Self::definition().try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }

    /// The definition of all commands.
    ///
    /// Scripts may pass `--yes` to every client command, so those that never ask accept it too;
    /// their help does not list it.
    pub fn definition() -> clap::Command {
        accept_yes(Self::command())
    }
}

/// Adds a hidden `--yes` to the client commands that do not define it.
fn accept_yes(command: clap::Command) -> clap::Command {
    let has = |id: &str| command.get_arguments().any(|argument| argument.get_id() == id);
    let is_client_command = has("endpoints") && !has("yes");
    let command = command.mut_subcommands(accept_yes);
    if is_client_command {
        command
            .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).hide(true).help("Ignored"))
    } else {
        command
    }
}

/// Examples and exit codes.
fn after_help() -> String {
    let mut text = format!("{EXAMPLES}\n\nExit codes:");
    for (code, meaning) in exit::CODES {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}
