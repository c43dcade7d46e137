//! `meridian dev`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use meridian_domain::AgentName;
use meridian_domain::agent::Address;

/// What `meridian dev` is told.
#[derive(Debug, Clone, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  meridian dev                                three agents in three regions
  meridian dev --regions eastus,japaneast     two, and a witness as the third vote
  meridian dev --data-dir /tmp/two --address-base 127.0.2.0    a second cluster beside the first

Ctrl-C stops all agents and all units of the data directory. Started again, the cluster carries on.
To begin anew, remove the data directory."
)]
pub struct DevArgs {
    /// Command for agents that something else started.
    #[command(subcommand)]
    pub command: Option<DevCommand>,

    /// What holds the agents' configurations, logs and data
    #[arg(long, value_name = "DIRECTORY", default_value = ".meridian")]
    pub data_dir: PathBuf,

    /// Which agents there are, and where.
    #[command(flatten)]
    pub layout: LayoutArgs,
}

/// What can be said about the cluster when it is first started.
#[derive(Debug, Clone, Default, Args)]
pub struct LayoutArgs {
    /// The regions, 1 to 9, the first of them the primary one of the first service [default:
    /// westeurope,eastus,southeastasia]
    #[arg(long, value_name = "REGION,...", value_delimiter = ',')]
    pub regions: Option<Vec<String>>,

    /// The agents listen on the loopback addresses after this one [default: 127.0.1.0]
    #[arg(long, value_name = "IP")]
    pub address_base: Option<Ipv4Addr>,

    /// The port for clients, the same on every address, at least 1 [default: 7400]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub client_port: Option<u16>,

    /// The port between agents, the same on every address, at least 1 [default: 7401]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,

    /// The port for health and metrics, the same on every address, at least 1 [default: 7480]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub http_port: Option<u16>,

    /// The port of the backend that a new cluster's first API has, on the first address, at least 1
    /// [default: 7490]
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
