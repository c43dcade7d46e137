//! Asking for a change.

use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{Actor, Command, Reason, RequestId, Revision, Verdict};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A command on its way to the leader's sequencer.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What is asked for.
    pub command: Command,
    /// Who asks.
    pub requester: Requester,
    /// When the asker stops waiting. What was not answered by then may still happen.
    pub deadline: Instant,
}

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requester {
    /// A person or a script. The outcome is remembered under the request's id.
    Operator {
        /// The same through all repetitions of the request.
        request: RequestId,
        /// Who the client says it is.
        actor: Actor,
        /// Why, if they said.
        reason: Option<Reason>,
    },
    /// An agent, with a [`Command::Report`]; its generation and sequence order it.
    Agent,
    /// Meridian itself; asked again whenever it is still needed.
    System,
}

/// What became of a proposal: decided, durable on a majority, and applied by the leader. Agents of
/// different versions exchange it: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The answer.
    pub verdict: Verdict,
    /// The revision of the state before it.
    pub base: Revision,
    /// The revision of the state after it. Equal to `base` where nothing had to change.
    pub revision: Revision,
}

/// Why there is no receipt. [`ProposeError::is_definite`] tells whether the command may still happen.
/// Agents of different versions exchange it: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProposeError {
    /// No leader was found in time. Nothing was proposed.
    #[error("no leader was found within {waited:.1?}: a majority of the voters cannot be reached")]
    NoLeader {
        /// How long it was looked for.
        waited: Duration,
    },
    /// The leader's queue is full. Nothing was proposed.
    #[error("the leader has {waiting} changes waiting and takes no more for now")]
    Overloaded {
        /// The length of its queue.
        waiting: usize,
    },
    /// The leader's disk is nearly full. Nothing was proposed.
    #[error("the leader's disk has {free} bytes free, below the floor of {floor}")]
    LowDisk {
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        floor: u64,
    },
    /// The command with its events does not fit into an entry. Nothing was proposed.
    #[error("the change takes {bytes} bytes in the log; at most {most} are allowed")]
    TooLarge {
        /// Bytes that the change would take.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// The request id was used before with another command. Nothing was proposed.
    #[error("the request id {request} was used before, for another change")]
    RequestReused {
        /// The id.
        request: RequestId,
    },
    /// The request id is older than what is remembered: it may have happened, long ago.
    #[error("the request id {request} is older than what the cluster remembers")]
    RequestExpired {
        /// The id.
        request: RequestId,
    },
    /// Deciding the command failed in a way that is a mistake in this software. Nothing was proposed.
    #[error("internal error: {cause}")]
    Internal {
        /// What failed.
        cause: String,
    },
    /// The answer did not come in time or was lost on its way: it may have happened, or may yet.
    #[error("the outcome is unknown: {cause}")]
    Unknown {
        /// What kept the answer away.
        cause: String,
    },
}

impl ProposeError {
    /// Whether it is certain that nothing was, or will be, proposed because of this call.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::NoLeader { .. }
            | Self::Overloaded { .. }
            | Self::LowDisk { .. }
            | Self::TooLarge { .. }
            | Self::RequestReused { .. }
            | Self::Internal { .. } => true,
            Self::RequestExpired { .. } | Self::Unknown { .. } => false,
        }
    }
}

/// Takes commands to the leader, wherever it is.
#[async_trait]
pub trait Propose: Send + Sync {
    /// Returns once the command was decided and applied, or cannot be within its deadline. While the
    /// outcome is unknown and time is left, an operator's proposal is repeated under its request id.
    ///
    /// Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// A [`ProposeError`]; a refusal by a rule is not one of them but a [`Receipt`].
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError>;
}
