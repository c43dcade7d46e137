//! Errors of openraft's connections.

use meridian_storage::raft::TypeConfig;
use openraft::errors::{NetworkError, RPCError};
use tonic::Status;

pub(super) type RpcError = RPCError<TypeConfig>;

/// Renders a gRPC status for an error message.
pub(super) fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// Returns an error after which openraft retries without counting the member as unreachable.
pub(super) fn network_error(cause: impl ToString) -> RpcError {
    RPCError::Network(NetworkError::from_string(cause))
}
