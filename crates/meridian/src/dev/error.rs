//! Errors of `meridian dev`, and their next steps.

use std::io;
use std::path::PathBuf;

use meridian_domain::{AgentName, NameError};

use super::directory::DirectoryError;
use super::layout::LayoutError;
use crate::exit;
use meridian_transport::listen::ListenError;

/// Reason why the cluster does not run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("agents of this data directory are already running: {}", list(agents))]
    AgentsRun { agents: Vec<(AgentName, Option<u32>)> },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start the processes")]
    Process(#[source] io::Error),
    #[error("every agent exited before the cluster was ready")]
    AllExited,
    #[error("no agent is ready: {}", join(errors))]
    NotReady { errors: Vec<(AgentName, String)> },
    #[error(
        "the data directory {} was removed or moved; all agents and units were stopped",
        path.display()
    )]
    Removed { path: PathBuf },
    #[error("cannot create the first service: {0}")]
    FirstService(String),
}

fn list(agents: &[(AgentName, Option<u32>)]) -> String {
    let one = |(name, pid): &(AgentName, Option<u32>)| match pid {
        Some(pid) => format!("{name} (process {pid})"),
        None => name.to_string(),
    };
    agents.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn join(errors: &[(AgentName, String)]) -> String {
    errors.iter().map(|(name, error)| format!("{name}: {error}")).collect::<Vec<_>>().join("; ")
}

impl DevError {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Layout(_) | Self::Name(_) => exit::USAGE,
            Self::Directory(_)
            | Self::AgentsRun { .. }
            | Self::Listen(_)
            | Self::Process(_)
            | Self::AllExited
            | Self::NotReady { .. }
            | Self::Removed { .. }
            | Self::FirstService(_) => exit::REFUSED,
        }
    }

    /// Returns the next step for the user, in one line.
    pub fn next_step(&self) -> String {
        match self {
            Self::Layout(LayoutError::Differs { flag, .. }) => {
                format!("omit {flag}, or use another --data-dir")
            }
            Self::Layout(_) | Self::Name(_) => "see `meridian dev --help`".to_owned(),
            Self::Directory(error) => error.next_step(),
            Self::AgentsRun { agents } => {
                let pids = agents.iter().filter_map(|(_, pid)| *pid).map(|pid| pid.to_string());
                match pids.collect::<Vec<_>>().as_slice() {
                    [] => "stop them, or use another --data-dir".to_owned(),
                    pids => format!("stop them: kill {}", pids.join(" ")),
                }
            }
            Self::Listen(_) => "stop the other process, or use another --address-base or port, \
                                with another --data-dir"
                .to_owned(),
            Self::Process(_) => "check the limits of this process".to_owned(),
            Self::AllExited | Self::NotReady { .. } => {
                "see the agents' logs: agent.log in the directory of each agent".to_owned()
            }
            Self::Removed { .. } => {
                "run `meridian dev` to start a new cluster, or use the new path as --data-dir"
                    .to_owned()
            }
            Self::FirstService(_) => "check that the agents are running, then retry".to_owned(),
        }
    }
}
