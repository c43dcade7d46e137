//! `meridian service`.

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args, Subcommand};
use meridian_domain::{RoutingPolicy, Tier, WhenDisabled};

use super::options::{
    ChangeOptions, ConfirmOption, ExpectOption, Options, ReadOptions, ServiceReadOptions,
    WaitOptions,
};

/// Subcommands of `meridian service`.
#[derive(Debug, Clone, Subcommand)]
pub enum ServiceCommand {
    /// Create a service with one unit in its primary region
    #[command(after_help = "\
Examples:
  meridian service create contoso --primary westeurope
  meridian service create trial --primary \"East US\" --tier developer --port 9000")]
    Create(CreateArgs),
    /// List the services
    #[command(visible_alias = "ls")]
    List(ReadOptions),
    /// Show a service with its regions and APIs
    Show(ShowArgs),
    /// Change the tier, port, primary region or routing of a service
    Update(UpdateArgs),
    /// Delete a service; its units drain and stop
    #[command(visible_alias = "rm", alias = "remove")]
    Delete(DeleteArgs),
}

impl ServiceCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::Create(args) => Options::from(&args.change).with_wait(&args.wait),
            Self::List(read) => read.into(),
            Self::Show(args) => Options::from(&args.options),
            Self::Update(args) => {
                Options::from(&args.change).with_wait(&args.wait).with_expect(&args.expect)
            }
            Self::Delete(args) => Options::from(&args.change)
                .with_wait(&args.wait)
                .with_expect(&args.expect)
                .with_confirm(&args.confirm),
        }
    }
}

/// `meridian service show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Service [default: the only one]
    #[arg(id = "shown", value_name = "SERVICE")]
    pub name: Option<String>,
    /// Options of a read.
    #[command(flatten)]
    pub options: ServiceReadOptions,
}

/// `meridian service create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// Name: 1 to 50 lowercase letters, digits and hyphens
    pub name: String,
    /// Primary region, such as westeurope or "West Europe"
    #[arg(long, value_name = "REGION")]
    pub primary: String,
    /// Tier: limits the number of units and regions
    #[arg(long, default_value = "premium", value_parser = tiers())]
    pub tier: String,
    /// Gateway TCP port in every region [default: the lowest free port from 8080]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Response to requests in regions where the gateway is disabled: refuse them with 503, or
    /// redirect GET and HEAD to the next closest region that serves [default: refuse]
    #[arg(long, value_name = "RESPONSE", value_parser = responses())]
    pub when_disabled: Option<String>,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `meridian service update`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "meridian service update [OPTIONS] <NAME>")]
#[command(group(ArgGroup::new("changes").required(true).multiple(true).args(["tier", "port", "primary", "routing", "when_disabled"])))]
pub struct UpdateArgs {
    /// Service
    pub name: String,
    /// New tier [default: unchanged]
    #[arg(long, value_parser = tiers())]
    pub tier: Option<String>,
    /// New gateway port; the units are replaced [default: unchanged]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Region to promote to primary [default: unchanged]
    #[arg(long, value_name = "REGION")]
    pub primary: Option<String>,
    /// Policy that chooses the region of a client [default: unchanged]
    #[arg(long, value_name = "POLICY", value_parser = policies())]
    pub routing: Option<String>,
    /// Response to requests in regions where the gateway is disabled: refuse them with 503, or
    /// redirect GET and HEAD to the next closest region that serves [default: unchanged]
    #[arg(long, value_name = "RESPONSE", value_parser = responses())]
    pub when_disabled: Option<String>,
    /// Expected revision.
    #[command(flatten)]
    pub expect: ExpectOption,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `meridian service delete`.
#[derive(Debug, Clone, Args)]
pub struct DeleteArgs {
    /// Service
    pub name: String,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Expected revision.
    #[command(flatten)]
    pub expect: ExpectOption,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitOptions,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

fn tiers() -> PossibleValuesParser {
    PossibleValuesParser::new(Tier::ALL.iter().map(|tier| tier.as_str()))
}

fn policies() -> PossibleValuesParser {
    PossibleValuesParser::new(RoutingPolicy::ALL.iter().map(|policy| policy.as_str()))
}

fn responses() -> PossibleValuesParser {
    PossibleValuesParser::new(WhenDisabled::ALL.iter().map(|response| response.as_str()))
}
