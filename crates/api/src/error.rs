//! Errors of requests, and the only place where they become gRPC statuses.
//!
//! The contract (the head of `admin.proto`) lists codes and reasons; [`Error::class`] is that
//! table.

mod details;
mod rejection;

use std::time::Duration;

use meridian_domain::{ClusterId, Epoch, Rejection, RequestId};
use meridian_ports::{ClusterError, HistoryError, ProposeError, ReadError};
use meridian_proto::convert::Violations;
use meridian_proto::v1;
use tonic::{Code, Status};

use details::Details;

/// Retry delay while a leader is being elected or a node catches up.
const SOON: Duration = Duration::from_millis(500);
/// Retry delay after a full queue.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Retry delay if an operator has to act first.
const LATER: Duration = Duration::from_secs(30);

/// Error of a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The message has invalid fields.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// The message cannot be decoded.
    #[error("cannot decode the message: {cause}")]
    Undecodable { cause: String },
    /// Rules reject the change.
    #[error("{}", rejection::summary(rejections))]
    Rejected {
        /// All rejections.
        rejections: Vec<Rejection>,
        /// The changes since the expected revision, if it is out of date.
        conflict: Option<Box<v1::Conflict>>,
    },
    /// The change could not be proposed, or its outcome is unknown.
    #[error("{}", with_advice(.0))]
    Propose(#[from] ProposeError),
    /// The state cannot be read with the requested consistency.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The events cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The event log has a gap, which must not be hidden from the client.
    #[error("gap in the event log: expected revision {wanted}, found {found}")]
    Gap { wanted: u64, found: u64 },
    /// An operation on the cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The agent belongs to another cluster.
    #[error("wrong cluster: this is {ours}, and the agent has the data of {given}")]
    WrongCluster { ours: ClusterId, given: ClusterId },
    /// The agent belongs to another epoch of the cluster.
    #[error(
        "wrong epoch: the cluster is in epoch {ours}, and the agent has the data of epoch {given}; \
         empty the data directory of the agent and join it again"
    )]
    WrongEpoch { ours: Epoch, given: Epoch },
    /// The agent is not a member of a cluster yet.
    #[error("this agent is not a member of a cluster yet; its log says what it waits for")]
    NotAMember,
    /// The agent is a member and does not serve requests yet.
    #[error("this agent is starting; retry on another agent")]
    Starting,
    /// The agent is shutting down.
    #[error("this agent is shutting down; retry on another agent")]
    ShuttingDown,
    /// A method panicked.
    #[error("internal error: the method panicked; see the agent's log")]
    Panicked,
}

fn with_advice(error: &ProposeError) -> String {
    match error {
        ProposeError::RequestExpired { .. } => {
            format!("{error}: it may have been applied; check before retrying with a new id")
        }
        ProposeError::RequestFromFuture { .. } => {
            format!("{error}; set the clock of the client, then retry with a new id")
        }
        ProposeError::Unknown { .. } => format!("{error}; retry with the same request id"),
        ProposeError::NoLeader { .. }
        | ProposeError::Overloaded { .. }
        | ProposeError::LowDisk { .. }
        | ProposeError::TooLarge { .. }
        | ProposeError::RequestReused { .. }
        | ProposeError::Internal { .. } => error.to_string(),
    }
}

/// Class of an error in its status.
struct Class {
    code: Code,
    reason: &'static str,
    retry: Option<Duration>,
}

impl Class {
    fn of(code: Code, reason: &'static str) -> Self {
        Self { code, reason, retry: None }
    }

    fn retry(self, after: Duration) -> Self {
        Self { retry: Some(after), ..self }
    }
}

impl Error {
    /// Creates an error for rejections without a conflict.
    pub(crate) fn rejected(rejections: Vec<Rejection>) -> Self {
        Self::Rejected { rejections, conflict: None }
    }

    /// Converts the error, with the request id if the request has one.
    pub(crate) fn status(&self, request: Option<RequestId>) -> Status {
        let Class { code, reason, retry } = self.class();
        let mut details = Details::new(code, self.to_string());
        details.info(reason, self.metadata(request));
        if let Some(after) = retry {
            details.retry(after);
        }
        match self {
            Self::Invalid(violations) => details.fields(violations),
            Self::Rejected { rejections, conflict } => {
                details.rejections(rejections);
                if let Some(conflict) = conflict {
                    details.conflict(conflict);
                }
            }
            Self::Undecodable { .. }
            | Self::Propose(_)
            | Self::Read(_)
            | Self::History(_)
            | Self::Gap { .. }
            | Self::Cluster(_)
            | Self::WrongCluster { .. }
            | Self::WrongEpoch { .. }
            | Self::NotAMember
            | Self::Starting
            | Self::ShuttingDown
            | Self::Panicked => {}
        }
        details.into_status()
    }

    fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::of(Code::InvalidArgument, "FIELDS_INVALID"),
            Self::Undecodable { .. } => Class::of(Code::InvalidArgument, "MESSAGE_INVALID"),
            Self::Rejected { rejections, .. } => {
                let code = rejection::code(rejections);
                Class::of(code, if code == Code::Aborted { "CONFLICT" } else { "REFUSED" })
            }
            Self::Propose(error) => propose_class(error),
            Self::Read(ReadError::NoLeader { .. }) | Self::Cluster(ClusterError::NoLeader) => {
                Class::of(Code::Unavailable, "NO_LEADER").retry(SOON)
            }
            Self::Read(ReadError::Behind { .. }) => {
                Class::of(Code::Unavailable, "BEHIND").retry(SOON)
            }
            Self::Read(ReadError::Removed) => {
                Class::of(Code::Unavailable, "AGENT_REMOVED").retry(LATER)
            }
            Self::History(HistoryError::Trimmed { .. }) => Class::of(Code::OutOfRange, "TRIMMED"),
            Self::History(HistoryError::Storage { .. }) => {
                Class::of(Code::Unavailable, "HISTORY_UNREADABLE").retry(LATER)
            }
            Self::Cluster(ClusterError::NoTransferTarget) => {
                Class::of(Code::FailedPrecondition, "NO_TRANSFER_TARGET")
            }
            Self::Cluster(ClusterError::NotAVoter { .. }) => {
                Class::of(Code::FailedPrecondition, "NOT_A_VOTER")
            }
            Self::Cluster(ClusterError::NotElected { .. }) => {
                Class::of(Code::FailedPrecondition, "NOT_ELECTED")
            }
            Self::Cluster(ClusterError::TimedOut { .. }) => {
                Class::of(Code::DeadlineExceeded, "OUTCOME_UNKNOWN")
            }
            Self::Cluster(ClusterError::Peer { .. }) => {
                Class::of(Code::FailedPrecondition, "PEER_REFUSED")
            }
            Self::Cluster(ClusterError::NotInvited { .. }) => {
                Class::of(Code::FailedPrecondition, "NOT_INVITED")
            }
            Self::Cluster(ClusterError::NotIdentified { .. }) => {
                Class::of(Code::FailedPrecondition, "NOT_IDENTIFIED")
            }
            Self::WrongCluster { .. } => Class::of(Code::FailedPrecondition, "WRONG_CLUSTER"),
            Self::WrongEpoch { .. } => Class::of(Code::FailedPrecondition, "WRONG_EPOCH"),
            Self::NotAMember => Class::of(Code::Unavailable, "NOT_A_MEMBER").retry(SOON),
            Self::Starting => Class::of(Code::Unavailable, "STARTING").retry(SOON),
            Self::ShuttingDown | Self::Cluster(ClusterError::ShuttingDown) => {
                Class::of(Code::Unavailable, "SHUTTING_DOWN").retry(SOON)
            }
            Self::Gap { .. } | Self::Panicked => Class::of(Code::Internal, "INTERNAL"),
        }
    }

    fn metadata(&self, request: Option<RequestId>) -> Vec<(&'static str, String)> {
        let request = request.map(|request| ("request_id", request.to_string()));
        let oldest = match self {
            Self::History(HistoryError::Trimmed { oldest, .. }) => {
                Some(("oldest", oldest.to_string()))
            }
            Self::Invalid(_)
            | Self::Undecodable { .. }
            | Self::Rejected { .. }
            | Self::Propose(_)
            | Self::Read(_)
            | Self::History(HistoryError::Storage { .. })
            | Self::Gap { .. }
            | Self::Cluster(_)
            | Self::WrongCluster { .. }
            | Self::WrongEpoch { .. }
            | Self::NotAMember
            | Self::Starting
            | Self::ShuttingDown
            | Self::Panicked => None,
        };
        request.into_iter().chain(oldest).collect()
    }
}

fn propose_class(error: &ProposeError) -> Class {
    match error {
        ProposeError::NoLeader { .. } => Class::of(Code::Unavailable, "NO_LEADER").retry(SOON),
        ProposeError::Overloaded { .. } => {
            Class::of(Code::ResourceExhausted, "OVERLOADED").retry(AT_ONCE)
        }
        ProposeError::LowDisk { .. } => Class::of(Code::ResourceExhausted, "LOW_DISK").retry(LATER),
        ProposeError::TooLarge { .. } => Class::of(Code::InvalidArgument, "CHANGE_TOO_LARGE"),
        // The id is valid; only its earlier use prevents the change.
        ProposeError::RequestReused { .. } => Class::of(Code::FailedPrecondition, "REQUEST_REUSED"),
        ProposeError::RequestExpired { .. } => {
            Class::of(Code::FailedPrecondition, "REQUEST_EXPIRED")
        }
        ProposeError::RequestFromFuture { .. } => {
            Class::of(Code::FailedPrecondition, "REQUEST_FROM_FUTURE")
        }
        ProposeError::Internal { .. } => Class::of(Code::Internal, "INTERNAL"),
        ProposeError::Unknown { .. } => Class::of(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"),
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.status(None)
    }
}
