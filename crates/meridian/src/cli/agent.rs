//! `meridian agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::cluster::DrainArgs;
use crate::config::flags::Flags;

/// The environment variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "MERIDIAN_CONFIG";

/// `meridian agent`: the daemon, unless a subcommand says otherwise.
#[derive(Debug, Clone, Args)]
pub struct AgentInvocation {
    /// What to do with an agent of the cluster.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// What the daemon is told.
    #[command(flatten)]
    pub daemon: AgentArgs,
}

/// What can be done with agents.
#[derive(Debug, Clone, Subcommand)]
pub enum AgentCommand {
    /// Move an agent's units to others in its region, give it no new ones, and take its vote; or end
    /// that
    Drain(DrainArgs),
}

/// What `meridian agent` is told.
#[derive(Debug, Clone, Args)]
pub struct AgentArgs {
    /// The configuration file; deploy/agent.example.toml shows every key [default: none]
    #[arg(long, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,

    /// Check the configuration, print what is in effect and where it comes from, and exit
    #[arg(long)]
    pub check_config: bool,

    /// A flag for each key of the configuration.
    #[command(flatten)]
    pub flags: Flags,
}
