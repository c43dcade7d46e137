//! `meridian service`.

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args, Subcommand};
use meridian_domain::Tier;

/// What can be done with services.
#[derive(Debug, Clone, Subcommand)]
pub enum ServiceCommand {
    /// Create a service with one unit in its primary region
    #[command(after_help = "\
Examples:
  meridian service create contoso --primary westeurope
  meridian service create trial --primary \"East US\" --tier developer --port 9000")]
    Create(CreateArgs),
    /// List the services
    List,
    /// Show a service, its regions and its APIs
    Show {
        /// The service [default: the only one there is]
        name: Option<String>,
    },
    /// Change a service's tier, port or primary region, all in one save
    Update(UpdateArgs),
    /// Delete a service; its units drain and stop
    Delete {
        /// The service
        name: String,
    },
}

/// `meridian service create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// Its name: 1 to 50 lower-case letters, digits and hyphens
    pub name: String,
    /// The first region, as `westeurope` or "West Europe"
    #[arg(long, value_name = "REGION")]
    pub primary: String,
    /// How large it may grow
    #[arg(long, default_value = "premium", value_parser = tiers())]
    pub tier: String,
    /// The TCP port of its gateways in every region [default: the lowest free one from 8080]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
}

/// `meridian service update`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("what changes").required(true).multiple(true).args(["tier", "port", "primary"])))]
pub struct UpdateArgs {
    /// The service
    pub name: String,
    /// The new tier [default: as it is]
    #[arg(long, value_parser = tiers())]
    pub tier: Option<String>,
    /// The new port of its gateways; its units are replaced [default: as it is]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// The region to promote to primary [default: as it is]
    #[arg(long, value_name = "REGION")]
    pub primary: Option<String>,
}

fn tiers() -> PossibleValuesParser {
    PossibleValuesParser::new(Tier::ALL.iter().map(|tier| tier.as_str()))
}
