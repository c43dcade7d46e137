//! `meridian agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::cluster::DrainArgs;
use crate::config::flags::Flags;

/// Environment variable with the path of the configuration file.
pub const CONFIG_VARIABLE: &str = "MERIDIAN_CONFIG";

/// `meridian agent`: runs the daemon unless a subcommand is given.
#[derive(Debug, Clone, Args)]
pub struct AgentInvocation {
    /// Client command about an agent.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// Arguments of the daemon.
    #[command(flatten)]
    pub daemon: AgentArgs,
}

/// Client commands under `meridian agent`.
#[derive(Debug, Clone, Subcommand)]
pub enum AgentCommand {
    /// Move the units of an agent to others in its region and take its vote, or undo that
    Drain(DrainArgs),
}

/// Arguments of the daemon.
#[derive(Debug, Clone, Args)]
pub struct AgentArgs {
    /// Configuration file; deploy/agent.example.toml lists every key [default: none]
    #[arg(long, value_name = "FILE", env = CONFIG_VARIABLE, hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Check the configuration, print the effective values with their sources, and exit
    #[arg(long)]
    pub check_config: bool,

    /// One flag per configuration key.
    #[command(flatten)]
    pub flags: Flags,
}
