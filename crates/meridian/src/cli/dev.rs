//! `meridian dev`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueHint};
use meridian_domain::AgentName;
use meridian_domain::agent::Address;

/// `meridian dev`.
#[derive(Debug, Clone, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  meridian dev                              three agents in three regions
  meridian dev --regions eastus,japaneast   two, and a witness for a third vote
  meridian dev --data-dir /tmp/two --address-base 127.0.2.0   a second cluster

Ctrl-C stops all agents and units of the data directory. The next `meridian dev`
continues with the same cluster; remove the data directory to start over."
)]
pub struct DevArgs {
    /// Command for agents that something else started.
    #[command(subcommand)]
    pub command: Option<DevCommand>,

    /// Directory for the configuration, logs and data of the agents
    #[arg(long, value_name = "DIRECTORY", default_value = ".meridian", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,

    /// Regions and addresses of the agents.
    #[command(flatten)]
    pub layout: LayoutArgs,
}

/// Layout of a new development cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct LayoutArgs {
    /// Regions, 1 to 9; the first is the primary region of the first service [default:
    /// westeurope,eastus,southeastasia]
    #[arg(long, value_name = "REGION,...", value_delimiter = ',')]
    pub regions: Option<Vec<String>>,

    /// Loopback address before those of the agents [default: 127.0.1.0]
    #[arg(long, value_name = "IP")]
    pub address_base: Option<Ipv4Addr>,

    /// Port for clients, on every agent's address [default: 7400]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub client_port: Option<u16>,

    /// Port for other agents, on every agent's address [default: 7401]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,

    /// Port for health and metrics, on every agent's address [default: 7480]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub http_port: Option<u16>,

    /// Port of the name servers, on every agent's address [default: 7453]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub dns_port: Option<u16>,

    /// Port of the echo backend, on the first agent's address [default: 7490]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub echo_port: Option<u16>,
}

/// Commands for agents that something else started.
#[derive(Debug, Clone, Subcommand)]
pub enum DevCommand {
    /// Serve the echo backend, and create the first service of a new cluster (for docker-compose.yml)
    Attach(AttachArgs),
}

/// Arguments of `meridian dev attach`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "meridian dev attach --agent NAME=HOST:PORT,... [OPTIONS]")]
pub struct AttachArgs {
    /// Agents of the cluster with their client addresses
    #[arg(
        long = "agent",
        value_name = "NAME=HOST:PORT,...",
        value_delimiter = ',',
        required = true
    )]
    pub agents: Vec<AgentEndpoint>,

    /// Primary region of the first service
    #[arg(long, value_name = "REGION")]
    pub primary: String,

    /// Listening address of the echo backend
    #[arg(long, value_name = "IP:PORT")]
    pub echo_listen: SocketAddr,

    /// URL under which gateways reach the echo backend
    #[arg(long, value_name = "URL")]
    pub echo_url: String,
}

/// An agent with its client address.
#[derive(Debug, Clone)]
pub struct AgentEndpoint {
    /// Name of the agent.
    pub name: AgentName,
    /// Client address of the agent.
    pub address: Address,
}

impl FromStr for AgentEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("use NAME=HOST:PORT")?;
        let name = AgentName::new(name).map_err(|error| error.to_string())?;
        let address = Address::new(address).map_err(|error| error.to_string())?;
        Ok(Self { name, address })
    }
}
