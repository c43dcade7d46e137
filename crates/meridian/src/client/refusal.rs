//! What a gRPC status says about the call that it answers.

use std::error::Error;
use std::time::Duration;

use meridian_transport::root_cause;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// The domain of the details that Meridian itself attaches.
const DOMAIN: &str = "meridian";

/// What a status says about the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// An agent decided, with no. Asking again gives the same.
    Answer,
    /// An agent answered, and what it answered cannot be read here. Asking again gives the same.
    Unreadable,
    /// An agent cannot take the call now; certainly nothing was proposed.
    NotTaken {
        /// When it thinks that it may.
        retry_after: Option<Duration>,
    },
    /// What answered is not the client port of an agent: it knows no such call, or speaks HTTP alone.
    /// Certainly nothing was proposed.
    NotAnAgent,
    /// The call never left this process.
    NotSent,
    /// It may have happened, or may yet.
    Unknown,
}

/// What `status` says. What is not certain is unknown.
pub fn meaning(status: &Status) -> Meaning {
    // A status with a source was made on this side, out of what the connection did.
    if let Some(source) = status.source() {
        return match causes(source).any(|error| error.is::<ConnectError>()) {
            true => Meaning::NotSent,
            false => Meaning::Unknown,
        };
    }
    if status.code() == Code::Unimplemented || refused_over_http(status) {
        return Meaning::NotAnAgent;
    }
    match status.code() {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Aborted
        | Code::PermissionDenied
        | Code::Unauthenticated => Meaning::Answer,
        Code::OutOfRange if reason(status).is_some() => Meaning::Answer,
        // The library says this of an answer that is too large: the call was carried out.
        Code::OutOfRange => Meaning::Unreadable,
        // A proxy says these, too, and may have passed the call on. Only an agent knows.
        Code::Unavailable | Code::ResourceExhausted if reason(status).is_some() => {
            let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
            Meaning::NotTaken { retry_after }
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unavailable
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Meaning::Unknown,
    }
}

/// Whether an HTTP server refused the call that is no gRPC server. Agents answer every call with 200;
/// the library tells other answers only in its messages. One of 500 and above may be a proxy's, about
/// a call that it passed on.
fn refused_over_http(status: &Status) -> bool {
    let said = status.message();
    said.starts_with("grpc-status header missing, mapped from HTTP status code 4")
        || (said.starts_with("protocol error: received message with invalid compression flag")
            && said.contains("while receiving response with status: 4"))
}

/// What is said of an endpoint that is not an agent's.
pub const NOT_AN_AGENT: &str =
    "does not answer as the client port of an agent (7400 by default) of this version";

/// The reason that Meridian gives for programs, such as `REFUSED`.
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

/// A value that Meridian attaches for programs, such as `oldest`.
pub fn metadata(status: &Status, key: &str) -> Option<String> {
    let info = status.get_details_error_info()?;
    info.metadata.get(key).cloned()
}

/// How the answer to a call was lost.
pub fn loss(status: &Status) -> String {
    let Some(source) = status.source() else {
        return status.message().to_owned();
    };
    if causes(source).any(|error| error.is::<TimeoutExpired>()) {
        return "no answer in time".to_owned();
    }
    format!("the connection was lost: {}", root_cause(source))
}

/// What a status says, for people.
pub fn words(status: &Status) -> String {
    match meaning(status) {
        Meaning::NotAnAgent => format!("it {NOT_AN_AGENT}"),
        Meaning::NotSent => root_cause(status),
        Meaning::Unknown => loss(status),
        Meaning::Answer | Meaning::Unreadable | Meaning::NotTaken { .. } => {
            status.message().to_owned()
        }
    }
}

/// An error and what caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use tonic_types::ErrorDetails;

    use super::*;

    fn by_an_agent(code: Code) -> Status {
        let details = ErrorDetails::with_error_info("NO_LEADER", DOMAIN, HashMap::new());
        Status::with_error_details(code, "no leader", details)
    }

    #[test]
    fn only_an_agent_can_say_that_nothing_was_proposed() {
        let not_taken = Meaning::NotTaken { retry_after: None };
        assert_eq!(meaning(&by_an_agent(Code::Unavailable)), not_taken);
        assert_eq!(meaning(&by_an_agent(Code::ResourceExhausted)), not_taken);
        assert_eq!(meaning(&Status::unavailable("upstream reset")), Meaning::Unknown);
    }

    #[test]
    fn a_lost_or_late_answer_is_unknown() {
        for code in [Code::DeadlineExceeded, Code::Cancelled, Code::Unknown, Code::Internal] {
            assert_eq!(meaning(&by_an_agent(code)), Meaning::Unknown, "{code:?}");
        }
        let mut lost = Status::unavailable("transport error");
        lost.set_source(Arc::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        assert_eq!(meaning(&lost), Meaning::Unknown);
    }

    #[test]
    fn what_could_not_be_decoded_is_no_refusal() {
        let status = Status::out_of_range("decoded message length too large");
        assert_eq!(meaning(&status), Meaning::Unreadable);
    }

    #[test]
    fn a_port_that_is_not_for_clients_is_no_agent() {
        for (code, said) in [
            (Code::Unimplemented, ""),
            (Code::Unimplemented, "grpc-status header missing, mapped from HTTP status code 404"),
            (Code::Internal, "grpc-status header missing, mapped from HTTP status code 400"),
            (
                Code::Internal,
                "protocol error: received message with invalid compression flag: 123 (valid flags \
                 are 0 and 1) while receiving response with status: 404 Not Found",
            ),
        ] {
            assert_eq!(meaning(&Status::new(code, said)), Meaning::NotAnAgent, "{said}");
        }
        for said in [
            "grpc-status header missing, mapped from HTTP status code 502",
            "protocol error: received message with invalid compression flag: 60 (valid flags are 0 \
             and 1) while receiving response with status: 502 Bad Gateway",
        ] {
            assert_eq!(meaning(&Status::unavailable(said)), Meaning::Unknown, "{said}");
        }
    }

    #[test]
    fn a_refusal_is_an_answer() {
        for code in [
            Code::InvalidArgument,
            Code::FailedPrecondition,
            Code::NotFound,
            Code::AlreadyExists,
            Code::Aborted,
            Code::OutOfRange,
        ] {
            assert_eq!(meaning(&by_an_agent(code)), Meaning::Answer, "{code:?}");
        }
    }
}
