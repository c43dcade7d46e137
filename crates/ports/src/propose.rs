//! Proposing changes.

use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{Actor, Command, Reason, RequestId, Revision, Verdict};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Command to be submitted to the leader's sequencer.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The command.
    pub command: Command,
    /// Its requester.
    pub requester: Requester,
    /// Time at which the requester stops waiting. A proposal without a receipt by then may still be
    /// applied.
    pub deadline: Instant,
}

/// Requester of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requester {
    /// A person or a script. The outcome is recorded under the request id.
    Operator {
        /// Identical in all retries of the request.
        request: RequestId,
        /// Name given by the client, unverified.
        actor: Actor,
        /// Reason given by the client.
        reason: Option<Reason>,
    },
    /// An agent, with a [`Command::Report`]; its generation and sequence order it.
    Agent,
    /// Meridian itself; proposed again for as long as it is needed.
    System,
}

/// Outcome of a proposal that was decided, is durable on a majority, and was applied by the leader.
/// Agents of different versions exchange it: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Acceptance or rejections.
    pub verdict: Verdict,
    /// Revision of the state before it.
    pub base: Revision,
    /// Revision of the state after it. Equal to `base` if the change had no effect.
    pub revision: Revision,
}

/// Reason why a proposal has no receipt. [`ProposeError::is_definite`] states whether the command
/// may still be applied. Agents of different versions exchange it: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProposeError {
    /// No leader responded in time. Nothing was proposed.
    #[error(
        "no leader responded within {waited:.1?}: possibly no majority of the voters is reachable"
    )]
    NoLeader {
        /// Time waited.
        waited: Duration,
    },
    /// The leader's queue is full. Nothing was proposed.
    #[error("the leader is overloaded: {waiting} changes are queued")]
    Overloaded {
        /// Length of the queue.
        waiting: usize,
    },
    /// The leader's disk is nearly full, and the command does not free space. Nothing was proposed.
    #[error("the leader's disk is nearly full: {free} bytes free, minimum {floor}")]
    LowDisk {
        /// Free bytes.
        free: u64,
        /// Minimum of free bytes.
        floor: u64,
    },
    /// The command with its events does not fit into an entry. Nothing was proposed.
    #[error("the change takes {bytes} bytes in the log; the maximum is {most}")]
    TooLarge {
        /// Bytes of the change.
        bytes: usize,
        /// Maximum.
        most: usize,
    },
    /// The request id was used before with another command. Nothing was proposed.
    #[error("the request id {request} was used before, for another change")]
    RequestReused {
        /// The id.
        request: RequestId,
    },
    /// The request id is older than every recorded outcome: the change may have been applied long
    /// ago.
    #[error("the request id {request} is older than the recorded outcomes")]
    RequestExpired {
        /// The id.
        request: RequestId,
    },
    /// A defect in this software kept the command from being decided. Nothing was proposed.
    #[error("internal error: {cause}")]
    Internal {
        /// The failure.
        cause: String,
    },
    /// The response timed out or was lost: the change may have been applied, or may yet be.
    #[error("the outcome is unknown: {cause}")]
    Unknown {
        /// Cause of the loss.
        cause: String,
    },
    /// The creation time in the request id is ahead of the clock of the cluster. Nothing was
    /// proposed.
    #[error("the request id {request} is {} ahead of the cluster's clock", in_words(*ahead))]
    RequestFromFuture {
        /// The id.
        request: RequestId,
        /// Time by which it is ahead.
        ahead: Duration,
    },
}

/// Returns the duration, at least one minute, in its largest unit that keeps it precise.
fn in_words(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60) {
        (days @ 2.., _) => format!("{days} days"),
        (_, hours @ 2..) => format!("{hours} hours"),
        _ => format!("{minutes} minutes"),
    }
}

impl ProposeError {
    /// True if this call certainly has proposed nothing, and will not.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::NoLeader { .. }
            | Self::Overloaded { .. }
            | Self::LowDisk { .. }
            | Self::TooLarge { .. }
            | Self::RequestReused { .. }
            | Self::RequestFromFuture { .. }
            | Self::Internal { .. } => true,
            Self::RequestExpired { .. } | Self::Unknown { .. } => false,
        }
    }
}

/// Proposes commands to the leader, wherever it is.
#[async_trait]
pub trait Propose: Send + Sync {
    /// Returns once the command was decided and applied, or the deadline is reached. While the
    /// outcome is unknown and time is left, an operator's proposal is retried under its request id.
    ///
    /// Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// A [`ProposeError`]. A rejection by a rule is not an error but a [`Receipt`].
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError>;
}
