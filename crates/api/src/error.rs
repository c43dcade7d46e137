//! Why a call fails, and the one place where that becomes a gRPC status.
//!
//! The contract (the head of `admin.proto`) lists codes and reasons; [`Error::meaning`] is that table.

mod details;
mod rejection;

use std::time::Duration;

use meridian_domain::{ClusterId, Rejection, RequestId};
use meridian_ports::{ClusterError, HistoryError, ProposeError, ReadError};
use meridian_proto::convert::Violations;
use meridian_proto::v1;
use tonic::{Code, Status};

use details::Details;

/// When to ask again where a leader is being elected or a node catches up.
const SOON: Duration = Duration::from_millis(500);
/// When to ask again where a queue was full.
const AT_ONCE: Duration = Duration::from_millis(100);
/// When to ask again where a person has to do something first.
const LATER: Duration = Duration::from_secs(30);

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The message is not well-formed.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// The message could not be read at all.
    #[error("the message cannot be read: {cause}")]
    Unreadable { cause: String },
    /// Rules refuse the change.
    #[error("{}", rejection::summary(rejections))]
    Refused {
        /// All of them.
        rejections: Vec<Rejection>,
        /// What happened since, where an expected revision is out of date.
        conflict: Option<Box<v1::Conflict>>,
    },
    /// The change could not be proposed, or its outcome is not known.
    #[error("{}", proposing(.0))]
    Propose(#[from] ProposeError),
    /// The state cannot be read as wanted.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The events cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Events are missing where none can be: this node must not hide that.
    #[error("the event log goes on with revision {found} where {wanted} was to come")]
    Gap { wanted: u64, found: u64 },
    /// An operation on the cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The caller belongs to another cluster.
    #[error("this is the cluster {ours}, not {given}: the agent has the data of another cluster")]
    WrongCluster { ours: ClusterId, given: ClusterId },
    /// The agent stops.
    #[error("this agent is shutting down; go on at another one")]
    ShuttingDown,
    /// A method panicked.
    #[error("internal error: the method panicked; the agent's log says where")]
    Panicked,
}

fn proposing(error: &ProposeError) -> String {
    match error {
        ProposeError::RequestExpired { .. } => {
            format!("{error}: the change may have happened, look before asking with a new id")
        }
        ProposeError::Unknown { .. } => format!("{error}; ask again with the same request id"),
        ProposeError::NoLeader { .. }
        | ProposeError::Overloaded { .. }
        | ProposeError::LowDisk { .. }
        | ProposeError::TooLarge { .. }
        | ProposeError::RequestReused { .. }
        | ProposeError::Internal { .. } => error.to_string(),
    }
}

/// What a status says of an error beside its message.
struct Meaning {
    code: Code,
    reason: &'static str,
    retry: Option<Duration>,
}

impl Meaning {
    fn of(code: Code, reason: &'static str) -> Self {
        Self { code, reason, retry: None }
    }

    fn retry(self, after: Duration) -> Self {
        Self { retry: Some(after), ..self }
    }
}

impl Error {
    /// Refused by rules, none of which compares revisions.
    pub(crate) fn refused(rejections: Vec<Rejection>) -> Self {
        Self::Refused { rejections, conflict: None }
    }

    /// The status, which names the request where the call had one.
    pub(crate) fn status(&self, request: Option<RequestId>) -> Status {
        let Meaning { code, reason, retry } = self.meaning();
        let mut details = Details::new(code, self.to_string());
        details.info(reason, self.metadata(request));
        if let Some(after) = retry {
            details.retry(after);
        }
        match self {
            Self::Invalid(violations) => details.fields(violations),
            Self::Refused { rejections, conflict } => {
                details.rejections(rejections);
                if let Some(conflict) = conflict {
                    details.conflict(conflict);
                }
            }
            Self::Unreadable { .. }
            | Self::Propose(_)
            | Self::Read(_)
            | Self::History(_)
            | Self::Gap { .. }
            | Self::Cluster(_)
            | Self::WrongCluster { .. }
            | Self::ShuttingDown
            | Self::Panicked => {}
        }
        details.into_status()
    }

    fn meaning(&self) -> Meaning {
        match self {
            Self::Invalid(_) => Meaning::of(Code::InvalidArgument, "FIELDS_INVALID"),
            Self::Unreadable { .. } => Meaning::of(Code::InvalidArgument, "MESSAGE_INVALID"),
            Self::Refused { rejections, .. } => match rejection::code(rejections) {
                Code::Aborted => Meaning::of(Code::Aborted, "CONFLICT"),
                code => Meaning::of(code, "REFUSED"),
            },
            Self::Propose(error) => propose_meaning(error),
            Self::Read(ReadError::NoLeader { .. }) | Self::Cluster(ClusterError::NoLeader) => {
                Meaning::of(Code::Unavailable, "NO_LEADER").retry(SOON)
            }
            Self::Read(ReadError::Behind { .. }) => {
                Meaning::of(Code::Unavailable, "BEHIND").retry(SOON)
            }
            Self::Read(ReadError::Removed) => {
                Meaning::of(Code::Unavailable, "AGENT_REMOVED").retry(LATER)
            }
            Self::History(HistoryError::Trimmed { .. }) => Meaning::of(Code::OutOfRange, "TRIMMED"),
            Self::History(HistoryError::Storage { .. }) => {
                Meaning::of(Code::Unavailable, "HISTORY_UNREADABLE").retry(LATER)
            }
            Self::Cluster(ClusterError::NoHeir) => Meaning::of(Code::FailedPrecondition, "NO_HEIR"),
            Self::Cluster(ClusterError::NotAVoter { .. }) => {
                Meaning::of(Code::FailedPrecondition, "NOT_A_VOTER")
            }
            Self::Cluster(ClusterError::TimedOut { .. }) => {
                Meaning::of(Code::DeadlineExceeded, "OUTCOME_UNKNOWN")
            }
            Self::Cluster(ClusterError::Peer { .. }) => {
                Meaning::of(Code::FailedPrecondition, "PEER_REFUSED")
            }
            Self::Cluster(ClusterError::NotInvited { .. }) => {
                Meaning::of(Code::FailedPrecondition, "NOT_INVITED")
            }
            Self::WrongCluster { .. } => Meaning::of(Code::FailedPrecondition, "WRONG_CLUSTER"),
            Self::ShuttingDown => Meaning::of(Code::Unavailable, "SHUTTING_DOWN").retry(SOON),
            Self::Gap { .. } | Self::Panicked => Meaning::of(Code::Internal, "INTERNAL"),
        }
    }

    fn metadata(&self, request: Option<RequestId>) -> Vec<(&'static str, String)> {
        let request = request.map(|request| ("request_id", request.to_string()));
        let oldest = match self {
            Self::History(HistoryError::Trimmed { oldest, .. }) => {
                Some(("oldest", oldest.to_string()))
            }
            _ => None,
        };
        request.into_iter().chain(oldest).collect()
    }
}

fn propose_meaning(error: &ProposeError) -> Meaning {
    match error {
        ProposeError::NoLeader { .. } => Meaning::of(Code::Unavailable, "NO_LEADER").retry(SOON),
        ProposeError::Overloaded { .. } => {
            Meaning::of(Code::ResourceExhausted, "OVERLOADED").retry(AT_ONCE)
        }
        ProposeError::LowDisk { .. } => {
            Meaning::of(Code::ResourceExhausted, "LOW_DISK").retry(LATER)
        }
        ProposeError::TooLarge { .. } => Meaning::of(Code::InvalidArgument, "CHANGE_TOO_LARGE"),
        // The id is well-formed, and only what happened before is in its way.
        ProposeError::RequestReused { .. } => {
            Meaning::of(Code::FailedPrecondition, "REQUEST_REUSED")
        }
        ProposeError::RequestExpired { .. } => {
            Meaning::of(Code::FailedPrecondition, "REQUEST_EXPIRED")
        }
        ProposeError::Internal { .. } => Meaning::of(Code::Internal, "INTERNAL"),
        ProposeError::Unknown { .. } => Meaning::of(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"),
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.status(None)
    }
}
