//! Errors of requests to other members.

use meridian_storage::raft::TypeConfig;
use openraft::errors::{NetworkError, RPCError};
use tonic::Status;

pub(super) type RpcError = RPCError<TypeConfig>;

/// Error of a request without a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The receiver definitely did not process the request.
    #[error("{0}")]
    NotSent(String),
    /// The receiver may have processed the request.
    #[error("{0}")]
    OutcomeUnknown(String),
}

/// Renders a gRPC status for an error message.
pub(super) fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// Returns an error after which openraft retries without counting the member as unreachable.
pub(super) fn network_error(cause: impl ToString) -> RpcError {
    RPCError::Network(NetworkError::from_string(cause))
}
