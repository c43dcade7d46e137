//! `meridian route`, `meridian dns` and `meridian network`.

use std::net::IpAddr;
use std::str::FromStr;

use clap::{Args, Subcommand};
use meridian_domain::limits::{MAX_FALLBACK_REGIONS, MAX_TTL_SECONDS};
use meridian_domain::{DnsZone, Network};

use super::options::{ChangeOptions, ConfirmOption, Options, ReadOptions, ServiceReadOptions};

/// `meridian route`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Without a client location, the client is in the region of the contacted agent.

Examples:
  meridian route --near westeurope
  meridian route --from 48.85,2.35
  meridian route --client-ip 198.51.100.7
  meridian route --without westeurope,northeurope")]
pub struct RouteArgs {
    /// Region closest to the client
    #[arg(long, value_name = "REGION", group = "location")]
    pub near: Option<String>,
    /// Latitude and longitude of the client in degrees, such as 48.85,2.35
    #[arg(long, value_name = "LAT,LON", group = "location", allow_hyphen_values = true)]
    pub from: Option<Coordinates>,
    /// IP address of the client
    #[arg(long, value_name = "IP", group = "location")]
    pub client_ip: Option<IpAddr>,
    /// Show the effect of losing these regions instead
    #[arg(long, value_name = "REGION,...", value_delimiter = ',', conflicts_with = "location")]
    pub without: Vec<String>,
    /// Options of a read of a service.
    #[command(flatten)]
    pub options: ServiceReadOptions,
}

/// A place on the surface of the Earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinates {
    /// Degrees north of the equator.
    pub latitude: f64,
    /// Degrees east of Greenwich.
    pub longitude: f64,
}

/// The text is not a pair of coordinates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use latitude and longitude in degrees, such as 48.85,2.35")]
pub struct NotCoordinates;

impl FromStr for Coordinates {
    type Err = NotCoordinates;

    fn from_str(text: &str) -> Result<Self, NotCoordinates> {
        let (latitude, longitude) = text.split_once(',').ok_or(NotCoordinates)?;
        let degrees = |text: &str, max: f64| {
            let degrees = text.trim().parse::<f64>().ok();
            degrees.filter(|degrees| degrees.abs() <= max).ok_or(NotCoordinates)
        };
        Ok(Self { latitude: degrees(latitude, 90.0)?, longitude: degrees(longitude, 180.0)? })
    }
}

/// Subcommands of `meridian dns`.
#[derive(Debug, Clone, Subcommand)]
pub enum DnsCommand {
    /// Show the settings of the name servers
    Show(ReadOptions),
    /// Print the records that delegate the zone, for its parent zone
    Delegation(ReadOptions),
    /// Change the settings of the name servers
    #[command(after_help = "\
Examples:
  meridian dns set --zone gateways.example.net
  meridian dns set --ttl 10 --name-servers westeurope-1,eastus-1")]
    Set(DnsSetArgs),
}

impl DnsCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::Show(read) | Self::Delegation(read) => read.into(),
            Self::Set(args) => Options::from(&args.change).with_confirm(&args.confirm),
        }
    }
}

/// `meridian dns set`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "meridian dns set [OPTIONS]")]
pub struct DnsSetArgs {
    /// The settings.
    #[command(flatten)]
    pub settings: DnsSettingArgs,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Settings to change.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct DnsSettingArgs {
    /// Zone that the agents serve, such as gateways.example.net, or none [default: unchanged]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub zone: Option<OrNone<DnsZone>>,
    /// Time to live of responses in seconds, 1 to 60 [default: unchanged]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(1..=MAX_TTL_SECONDS.into()))]
    pub ttl: Option<u8>,
    /// Further regions in a response, 0 to 3; clients choose among all at random [default: unchanged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=MAX_FALLBACK_REGIONS.into()))]
    pub fallback_regions: Option<u8>,
    /// Agents listed as name servers, or none for one in each region [default: unchanged]
    #[arg(long, value_name = "AGENT,...", value_parser = parse_agents)]
    pub name_servers: Option<AgentList>,
}

/// A value, or the word `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrNone<T>(pub Option<T>);

/// List of agents. A separate type, because `clap` would parse a bare `Vec` as one value per agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentList(pub Vec<String>);

fn parse_zone(text: &str) -> Result<OrNone<DnsZone>, <DnsZone as FromStr>::Err> {
    match text {
        "none" => Ok(OrNone(None)),
        _ => text.parse().map(|zone| OrNone(Some(zone))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a value parser")]
fn parse_agents(text: &str) -> Result<AgentList, std::convert::Infallible> {
    match text {
        "none" => Ok(AgentList(Vec::new())),
        _ => Ok(AgentList(text.split(',').map(|name| name.trim().to_owned()).collect())),
    }
}

/// Subcommands of `meridian network`.
#[derive(Debug, Clone, Subcommand)]
pub enum NetworkCommand {
    /// List the networks of clients and the regions closest to them
    #[command(visible_alias = "ls")]
    List(ReadOptions),
    /// Assign networks of clients to the regions closest to them
    #[command(after_help = "\
Examples:
  meridian network set 10.1.0.0/16=westeurope 2001:db8:1::/48=eastus")]
    Set(NetworkSetArgs),
    /// Remove networks of clients
    #[command(visible_alias = "rm", alias = "delete")]
    Remove(NetworkRemoveArgs),
}

impl NetworkCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::List(read) => read.into(),
            Self::Set(args) => Options::from(&args.change),
            Self::Remove(args) => Options::from(&args.change).with_confirm(&args.confirm),
        }
    }
}

/// `meridian network set`.
#[derive(Debug, Clone, Args)]
pub struct NetworkSetArgs {
    /// NETWORK=REGION, such as 10.1.0.0/16=westeurope
    #[arg(required = true, value_name = "NETWORK=REGION")]
    pub networks: Vec<AssignedNetwork>,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// `meridian network remove`.
#[derive(Debug, Clone, Args)]
pub struct NetworkRemoveArgs {
    /// Networks, such as 10.1.0.0/16
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<Network>,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// A network and the region closest to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedNetwork {
    /// The network.
    pub network: Network,
    /// The region, as given.
    pub region: String,
}

/// The text is not a network with a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAssigned {
    /// There is no region.
    #[error("use NETWORK=REGION, such as 10.1.0.0/16=westeurope")]
    Syntax,
    /// The network is invalid.
    #[error(transparent)]
    Network(#[from] meridian_domain::network::InvalidNetwork),
}

impl FromStr for AssignedNetwork {
    type Err = NotAssigned;

    fn from_str(text: &str) -> Result<Self, NotAssigned> {
        let (network, region) = text.split_once('=').ok_or(NotAssigned::Syntax)?;
        if region.trim().is_empty() {
            return Err(NotAssigned::Syntax);
        }
        Ok(Self { network: network.parse()?, region: region.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{ClientCommand, parse};

    #[test]
    fn coordinates_are_a_pair_of_degrees() {
        let of = |latitude, longitude| Ok(Coordinates { latitude, longitude });
        assert_eq!("48.85,2.35".parse(), of(48.85, 2.35));
        assert_eq!("-33.9, 151.2".parse(), of(-33.9, 151.2));
        for bad in ["", "48.85", "91,0", "0,181", "a,b", "NaN,0"] {
            assert_eq!(bad.parse::<Coordinates>(), Err(NotCoordinates), "{bad}");
        }
    }

    #[test]
    fn a_route_has_at_most_one_location() {
        for line in ["route", "route --near eastus", "route --client-ip 2001:db8::1"] {
            assert!(matches!(parse::command(line), ClientCommand::Route(_)), "{line}");
        }
        let ClientCommand::Route(args) = parse::command("route --from -33.9,151.2") else {
            panic!("is a route");
        };
        assert_eq!(args.from, Some(Coordinates { latitude: -33.9, longitude: 151.2 }));
        parse::fails("route --near eastus --client-ip 10.0.0.1");
        parse::fails("route --near eastus --without westeurope");
    }

    #[test]
    fn a_network_has_a_region() {
        let parsed = "10.1.0.0/16=West Europe".parse::<AssignedNetwork>().expect("is valid");
        assert_eq!((parsed.network.prefix_length(), parsed.region.as_str()), (16, "West Europe"));
        for bad in ["10.1.0.0/16", "10.1.0.0/16=", "10.1.0.1/16=eastus", "x=eastus"] {
            assert!(bad.parse::<AssignedNetwork>().is_err(), "{bad}");
        }
    }
}
