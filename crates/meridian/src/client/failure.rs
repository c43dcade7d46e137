//! Failures of client commands, and their exit codes: see [`exit`].

use std::io;
use std::process::ExitCode;

use meridian_proto::v1;

use crate::exit;

use super::endpoint::NotAnEndpoint;

/// Failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command is invalid as it was typed.
    #[error("{cause}")]
    Usage {
        /// The invalid part.
        cause: String,
        /// Next step.
        next: String,
    },
    /// The cluster or the user refused; nothing was changed.
    #[error("{cause}")]
    Refused {
        /// The reasons, each with its names and numbers.
        cause: String,
        /// Next step.
        next: String,
    },
    /// The service is not at the expected revision; nothing was changed.
    #[error("{cause}")]
    Conflict {
        /// The service, and its current revision.
        cause: String,
        /// Next step.
        next: String,
        /// The changes since the expected revision, if the agent attached them.
        conflict: Option<Box<v1::Conflict>>,
    },
    /// No agent accepted the request; it certainly changed nothing.
    #[error("{cause}")]
    Unavailable {
        /// Error of each endpoint.
        cause: String,
        /// Next step.
        next: String,
    },
    /// The change may have happened, or may still happen.
    #[error("{cause}")]
    Unknown {
        /// Error that lost the response.
        cause: String,
        /// The command that retries.
        next: String,
    },
    /// The change was accepted, and its effect was not observed in time.
    #[error("{cause}")]
    NotConverged {
        /// The missing part of the effect.
        cause: String,
        /// The command that continues to wait.
        next: String,
    },
    /// The response violates the contract.
    #[error("invalid response: {what} is missing")]
    InvalidResponse {
        /// The missing part.
        what: &'static str,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// The process cannot start its runtime.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// `status --check` found the cluster degraded; the output gives the reasons.
    #[error("the cluster is degraded")]
    Degraded,
    /// `status --check` found that the cluster refuses changes; the output gives the reasons.
    #[error("the cluster refuses changes")]
    ChangesRefused,
    /// `status --check` found a service that no region serves; the output gives the reasons.
    #[error("a service is unavailable")]
    ServiceUnavailable,
    /// Calls of a service failed; the output gives the reasons.
    #[error("{failed} of {requests} calls failed")]
    CallsFailed {
        /// Number of failed calls.
        failed: u64,
        /// Number of calls.
        requests: u64,
    },
    /// The reader of standard output closed the pipe.
    #[error("standard output is closed")]
    PipeClosed,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::PipeClosed => exit::DONE,
            Self::Refused { .. }
            | Self::CallsFailed { .. }
            | Self::InvalidResponse { .. }
            | Self::Output(_)
            | Self::Runtime(_) => exit::REFUSED,
            Self::Usage { .. } => exit::USAGE,
            Self::Conflict { .. } => exit::CONFLICT,
            Self::Unavailable { .. } => exit::UNAVAILABLE,
            Self::Unknown { .. } => exit::UNKNOWN,
            Self::NotConverged { .. } => exit::NOT_CONVERGED,
            Self::Degraded => exit::DEGRADED,
            Self::ChangesRefused | Self::ServiceUnavailable => exit::CRITICAL,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }

    /// Next step; `None` if the failure needs no message.
    fn next(&self) -> Option<&str> {
        match self {
            Self::Usage { next, .. }
            | Self::Refused { next, .. }
            | Self::Conflict { next, .. }
            | Self::Unavailable { next, .. }
            | Self::Unknown { next, .. }
            | Self::NotConverged { next, .. } => Some(next),
            Self::CallsFailed { .. } => Some("`meridian route` shows which regions serve"),
            Self::InvalidResponse { .. } => Some("use the same version of client and agents"),
            Self::Output(_) => Some("check where standard output goes"),
            Self::Runtime(_) => Some("check the resource limits of this process"),
            Self::Degraded
            | Self::ServiceUnavailable
            | Self::ChangesRefused
            | Self::PipeClosed
            | Self::Interrupted => None,
        }
    }

    /// Replaces the next step of a refusal, if there is better advice.
    pub fn with_advice(self, advice: Option<String>) -> Self {
        match (self, advice) {
            (Self::Refused { cause, .. }, Some(next)) => Self::Refused { cause, next },
            (failure, _) => failure,
        }
    }

    /// Prints the failure if it needs a message, and returns the exit code.
    pub fn into_exit_code(self) -> ExitCode {
        if let Some(next) = self.next() {
            exit::report(&self.to_string(), next);
        }
        ExitCode::from(self.code())
    }
}

impl From<NotAnEndpoint> for Failure {
    fn from(error: NotAnEndpoint) -> Self {
        Self::Usage {
            cause: error.to_string(),
            next: "fix --endpoint or MERIDIAN_ENDPOINTS".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_keeps_its_exit_code() {
        let (cause, next) = (String::new, String::new);
        for (failure, code) in [
            (Failure::Refused { cause: cause(), next: next() }, 1),
            (Failure::Usage { cause: cause(), next: next() }, 2),
            (Failure::Conflict { cause: cause(), next: next(), conflict: None }, 3),
            (Failure::Unavailable { cause: cause(), next: next() }, 4),
            (Failure::Unknown { cause: cause(), next: next() }, 5),
            (Failure::NotConverged { cause: cause(), next: next() }, 6),
            (Failure::Degraded, 10),
            (Failure::ServiceUnavailable, 11),
            (Failure::ChangesRefused, 11),
            (Failure::PipeClosed, 0),
            (Failure::Interrupted, 130),
        ] {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
