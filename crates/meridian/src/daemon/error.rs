//! Errors that end an agent, and their next steps.

use std::io;
use std::time::Duration;

use meridian_domain::AgentName;
use meridian_durable::{is_remediable, is_transient};
use meridian_replication::bootstrap::BootstrapError;
use meridian_replication::duplicate::IsDuplicate;
use meridian_replication::node::NodeError;
use meridian_replication::peer::meeting::AdmitError;
use meridian_storage::codec::is_newer;
use meridian_storage::disk::directory::DirectoryError;
use meridian_storage::open::OpenError;

use super::admission::AdmissionError;
use super::descriptors::TooFewDescriptors;
use super::registration::JoinError;
use super::units::UnitsError;
use crate::telemetry::logs::InvalidLevel;
use meridian_transport::listen::ListenError;

/// Next step if the data is intact, but newer software wrote it.
const NEWER: &str = "run the newer software on this data";

/// Next step if the machine lacked something and the data is intact.
const REMEDIABLE: &str =
    "fix the cause, such as a full disk, and restart the agent; its data is intact";
/// Next step if the process or the machine lacked descriptors or memory.
const EXHAUSTED: &str =
    "raise LimitNOFILE or free memory, and restart the agent; its data is intact";

/// Reason why an agent did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The log level is invalid.
    #[error("invalid log level")]
    Log(#[from] InvalidLevel),
    /// The metrics recorder cannot be installed.
    #[error("the metrics recorder cannot be installed")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The async runtime or the signal handlers cannot be set up.
    #[error("the process cannot be set up")]
    Runtime(#[source] io::Error),
    /// The limit of open files is too low.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The name server cannot start.
    #[error(transparent)]
    Names(#[from] meridian_steering::StartError),
    /// The agent cannot become a member of a cluster.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The cluster refused the agent.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The cluster cannot be bootstrapped.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The data directory belongs to an agent with another name.
    #[error(
        "the data directory belongs to agent {registered}, but the configured name is {configured}"
    )]
    OtherName {
        /// Name under which the node is registered.
        registered: AgentName,
        /// Name in the configuration.
        configured: AgentName,
    },
    /// The data directory is a copy of that of an agent that runs.
    #[error(transparent)]
    Duplicate(#[from] IsDuplicate),
    /// The stored data cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A recovery of the cluster cannot be completed.
    #[error("cannot complete the recovery of the cluster on this agent")]
    Recover(#[source] io::Error),
    /// The node stopped.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The units of this machine are no longer reconciled.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// The client server cannot be built.
    #[error(transparent)]
    Api(#[from] meridian_api::BuildError),
    /// The client server failed.
    #[error(transparent)]
    Serve(#[from] meridian_api::ServeError),
    /// Shutdown took too long.
    #[error("the agent did not shut down within {limit:?} and was aborted")]
    ShutdownTimeout {
        /// Maximum time for a shutdown.
        limit: Duration,
    },
}

impl AgentError {
    /// Returns the next step for the operator, in one line.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Open(OpenError::Unsupported { .. }) => NEWER,
            _ if is_newer(self) => NEWER,
            Self::Descriptors(_) => {
                "raise LimitNOFILE of the service, or `ulimit -Hn` of the shell"
            }
            _ if is_transient(self) => EXHAUSTED,
            Self::Log(_) | Self::Metrics(_) | Self::Runtime(_) => {
                "check the limits of this process, such as its maximum number of open files"
            }
            Self::Directory(DirectoryError::InUse { .. }) => {
                "stop the other process, or set another data_dir for this agent"
            }
            Self::OtherName { .. } => {
                "restore the name in the configuration, or set an empty data_dir for a new agent"
            }
            Self::Duplicate(_) => {
                "to run another agent here, give it a name of its own and set an empty data_dir"
            }
            Self::Listen(ListenError::InUse { .. }) => {
                "stop the other process, or configure another address"
            }
            Self::Listen(ListenError::Refused { .. }) => {
                "configure an address of this machine and a port that this user may open"
            }
            Self::Names(_) => {
                "configure another dns_listen, or allow this one; ports below 1024 need \
                 CAP_NET_BIND_SERVICE"
            }
            Self::Admission(AdmissionError::Admit(AdmitError::NotDurable(_)))
            | Self::Open(OpenError::Unavailable { .. })
            | Self::Recover(_) => REMEDIABLE,
            Self::Admission(_) | Self::Join(_) | Self::Bootstrap(_) => {
                "fix the configuration and restart the agent"
            }
            Self::Directory(DirectoryError::Addresses { .. }) => {
                "remove that file, and give the addresses again with meridian recover --readdress"
            }
            Self::Directory(DirectoryError::File(_)) => {
                "check that path and its permissions, or set another data_dir for this agent"
            }
            // The data is intact: for example, units of another driver are still running.
            Self::Units(UnitsError::StillRunning { .. }) => {
                "restart the agent, which adopts them, or kill their processes"
            }
            Self::Units(UnitsError::Driver(_) | UnitsError::Drain(_)) => {
                "fix the cause, then restart the agent; its units keep running meanwhile"
            }
            Self::Open(_) | Self::Units(_) if is_remediable(self) => REMEDIABLE,
            Self::Directory(_) | Self::Open(_) | Self::Units(_) => {
                "check the disk, and whether a newer version wrote the data; only if the data cannot \
                 be repaired, wipe the data directory and join as a new node"
            }
            Self::Node(_) => {
                "fix the cause, then restart the agent; its units keep running meanwhile"
            }
            Self::Api(_) | Self::Serve(_) | Self::ShutdownTimeout { .. } => "restart the agent",
        }
    }
}

#[cfg(test)]
mod tests {
    use meridian_agent::reconcile::RunError;
    use meridian_storage::codec::DecodeError;

    use super::*;

    #[test]
    fn a_lack_of_resources_is_no_reason_to_wipe_data() {
        for (code, next) in [(24, EXHAUSTED), (12, EXHAUSTED), (28, REMEDIABLE)] {
            let source = io::Error::from_raw_os_error(code);
            let error = RunError { path: "desired".into(), source };
            assert_eq!(AgentError::Units(error.into()).next_step(), next);
        }
        let error = RunError { path: "desired".into(), source: io::Error::from_raw_os_error(5) };
        assert!(AgentError::Units(error.into()).next_step().contains("check the disk"));
    }

    #[test]
    fn data_of_newer_software_is_not_to_be_wiped() {
        let cause = DecodeError::Newer { name: "identity", supported: 1, found: 2 };
        let error = DirectoryError::Unsupported { path: "identity".into(), cause };
        assert_eq!(AgentError::from(error).next_step(), NEWER);
    }
}
