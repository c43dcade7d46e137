//! Classification of gRPC statuses: what a status implies for the request.

use std::error::Error;
use std::time::Duration;

use meridian_transport::root_cause;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// Domain of the error details that Meridian attaches.
const DOMAIN: &str = "meridian";

/// Implication of a status for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// An agent rejected it. A retry gives the same result.
    Rejected,
    /// An agent responded, and the response cannot be decoded. A retry gives the same result.
    Undecodable,
    /// An agent cannot serve it now; it certainly changed nothing.
    NotAccepted {
        /// Reason that the agent attached, such as `NO_LEADER`.
        reason: String,
        /// Delay that the agent suggests.
        retry_after: Option<Duration>,
    },
    /// The server is not the client port of an agent: it does not know the RPC, or is a plain HTTP
    /// server. The request certainly changed nothing.
    NotAnAgent,
    /// The request never left this process.
    NotSent,
    /// The request may have been executed, or may still be.
    Unknown,
}

/// Classifies a status. Anything that is not certain is unknown.
pub fn classify(status: &Status) -> Class {
    // A status with a source was made by the client library from a connection error.
    if let Some(source) = status.source() {
        return match causes(source).any(|error| error.is::<ConnectError>()) {
            true => Class::NotSent,
            false => Class::Unknown,
        };
    }
    if status.code() == Code::Unimplemented || is_http_client_error(status) {
        return Class::NotAnAgent;
    }
    let reason = reason(status);
    match status.code() {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Aborted
        | Code::PermissionDenied
        | Code::Unauthenticated => Class::Rejected,
        Code::OutOfRange if reason.is_some() => Class::Rejected,
        // The library reports a response that is too large: the request was executed.
        Code::OutOfRange => Class::Undecodable,
        // A proxy returns these too, and may have forwarded the request. Only an agent attaches a
        // reason.
        Code::Unavailable | Code::ResourceExhausted => match reason {
            Some(reason) => {
                let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                Class::NotAccepted { reason, retry_after }
            }
            None => Class::Unknown,
        },
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Class::Unknown,
    }
}

/// True if an HTTP server that is not a gRPC server refused the request. Agents respond to every
/// RPC with HTTP status 200, and the library reports any other status only in its messages. A
/// status of 500 or above may be a proxy's, about a request that it forwarded.
fn is_http_client_error(status: &Status) -> bool {
    let message = status.message();
    message.starts_with("grpc-status header missing, mapped from HTTP status code 4")
        || (message.starts_with("protocol error: received message with invalid compression flag")
            && message.contains("while receiving response with status: 4"))
}

/// Error for an endpoint that is not the client port of an agent.
pub const NOT_AN_AGENT: &str = "not the client port of an agent of this version (7400 by default)";

/// Machine-readable reason that Meridian attaches, such as `REFUSED`.
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

/// Machine-readable value that Meridian attaches, such as `oldest`.
pub fn metadata(status: &Status, key: &str) -> Option<String> {
    let info = status.get_details_error_info()?;
    info.metadata.get(key).cloned()
}

/// Description of how the response to a request was lost.
pub fn loss(status: &Status) -> String {
    let Some(source) = status.source() else {
        return status.message().to_owned();
    };
    if causes(source).any(|error| error.is::<TimeoutExpired>()) {
        return "no response in time".to_owned();
    }
    format!("connection lost: {}", root_cause(source))
}

/// Message of a status for people.
pub fn message(status: &Status) -> String {
    match classify(status) {
        Class::NotAnAgent => NOT_AN_AGENT.to_owned(),
        Class::NotSent => root_cause(status),
        Class::Unknown => loss(status),
        Class::Rejected | Class::Undecodable | Class::NotAccepted { .. } => {
            status.message().to_owned()
        }
    }
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use tonic_types::ErrorDetails;

    use super::*;

    fn of_an_agent(code: Code) -> Status {
        let details = ErrorDetails::with_error_info("NO_LEADER", DOMAIN, HashMap::new());
        Status::with_error_details(code, "no leader", details)
    }

    #[test]
    fn only_a_status_of_an_agent_proves_that_nothing_changed() {
        let not_accepted = Class::NotAccepted { reason: "NO_LEADER".to_owned(), retry_after: None };
        assert_eq!(classify(&of_an_agent(Code::Unavailable)), not_accepted);
        assert_eq!(classify(&of_an_agent(Code::ResourceExhausted)), not_accepted);
        assert_eq!(classify(&Status::unavailable("upstream reset")), Class::Unknown);
    }

    #[test]
    fn a_lost_or_late_response_is_unknown() {
        for code in [Code::DeadlineExceeded, Code::Cancelled, Code::Unknown, Code::Internal] {
            assert_eq!(classify(&of_an_agent(code)), Class::Unknown, "{code:?}");
        }
        let mut lost = Status::unavailable("transport error");
        lost.set_source(Arc::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        assert_eq!(classify(&lost), Class::Unknown);
    }

    #[test]
    fn an_undecodable_response_is_not_a_rejection() {
        let status = Status::out_of_range("decoded message length too large");
        assert_eq!(classify(&status), Class::Undecodable);
    }

    #[test]
    fn a_server_that_is_not_a_client_port_is_recognized() {
        for (code, message) in [
            (Code::Unimplemented, ""),
            (Code::Unimplemented, "grpc-status header missing, mapped from HTTP status code 404"),
            (Code::Internal, "grpc-status header missing, mapped from HTTP status code 400"),
            (
                Code::Internal,
                "protocol error: received message with invalid compression flag: 123 (valid flags \
                 are 0 and 1) while receiving response with status: 404 Not Found",
            ),
        ] {
            assert_eq!(classify(&Status::new(code, message)), Class::NotAnAgent, "{message}");
        }
        for message in [
            "grpc-status header missing, mapped from HTTP status code 502",
            "protocol error: received message with invalid compression flag: 60 (valid flags are 0 \
             and 1) while receiving response with status: 502 Bad Gateway",
        ] {
            assert_eq!(classify(&Status::unavailable(message)), Class::Unknown, "{message}");
        }
    }

    #[test]
    fn a_rejection_is_final() {
        for code in [
            Code::InvalidArgument,
            Code::FailedPrecondition,
            Code::NotFound,
            Code::AlreadyExists,
            Code::Aborted,
            Code::OutOfRange,
        ] {
            assert_eq!(classify(&of_an_agent(code)), Class::Rejected, "{code:?}");
        }
    }
}
