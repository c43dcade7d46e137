//! Why a client command did not do what was asked, and how it ends for that: see [`exit`].

use std::io;
use std::process::ExitCode;

use crate::cli::scope::FlagWithoutMeaning;
use crate::exit;

use super::endpoint::NotAnEndpoint;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command cannot be meant as it was typed.
    #[error("{cause}")]
    Usage {
        /// What is wrong.
        cause: String,
        /// How to mend it.
        next: String,
    },
    /// A rule of the cluster refuses it; nothing was changed.
    #[error("{cause}")]
    Refused {
        /// The rules, each with its names and numbers.
        cause: String,
        /// How to mend it.
        next: String,
    },
    /// The service was changed since the expected revision; nothing was changed.
    #[error("{cause}")]
    Conflict {
        /// Which service, and where it is now.
        cause: String,
        /// How to go on from there.
        next: String,
    },
    /// Nobody could take it; certainly nothing was proposed.
    #[error("{cause}")]
    Unavailable {
        /// What each endpoint said.
        cause: String,
        /// Where to look.
        next: String,
    },
    /// It may have happened, or may yet.
    #[error("{cause}")]
    Unknown {
        /// What kept the answer away.
        cause: String,
        /// The command that asks again.
        next: String,
    },
    /// It was done, and its effect was not seen in time.
    #[error("{cause}")]
    NotConverged {
        /// What is still missing.
        cause: String,
        /// The command that waits on.
        next: String,
    },
    /// The answer breaks the contract.
    #[error("the answer cannot be understood: it has no {what}")]
    Garbled {
        /// What is missing.
        what: &'static str,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// The process cannot run anything.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// The reader of standard output has seen enough.
    #[error("the reader went away")]
    ReaderGone,
    /// The person at the keyboard has seen enough.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The code to exit with.
    pub fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => exit::DONE,
            Self::Refused { .. } | Self::Garbled { .. } | Self::Output(_) | Self::Runtime(_) => {
                exit::REFUSED
            }
            Self::Usage { .. } => exit::USAGE,
            Self::Conflict { .. } => exit::CONFLICT,
            Self::Unavailable { .. } => exit::UNAVAILABLE,
            Self::Unknown { .. } | Self::NotConverged { .. } => exit::UNKNOWN,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }

    /// What to do about it; none where there is nothing to say.
    fn next(&self) -> Option<&str> {
        match self {
            Self::Usage { next, .. }
            | Self::Refused { next, .. }
            | Self::Conflict { next, .. }
            | Self::Unavailable { next, .. }
            | Self::Unknown { next, .. }
            | Self::NotConverged { next, .. } => Some(next),
            Self::Garbled { .. } => Some("use the same version on both sides"),
            Self::Output(_) => Some("see to the place that the output goes to"),
            Self::Runtime(_) => Some("see to the limits of this process"),
            Self::ReaderGone | Self::Interrupted => None,
        }
    }

    /// Tells the person, where there is something to tell, and returns the code to exit with.
    pub fn into_exit_code(self) -> ExitCode {
        if let Some(next) = self.next() {
            exit::report(&self.to_string(), next);
        }
        ExitCode::from(self.code())
    }
}

impl From<FlagWithoutMeaning> for Failure {
    fn from(error: FlagWithoutMeaning) -> Self {
        Self::Usage { cause: error.to_string(), next: "leave it out".to_owned() }
    }
}

impl From<NotAnEndpoint> for Failure {
    fn from(error: NotAnEndpoint) -> Self {
        Self::Usage {
            cause: error.to_string(),
            next: "mend --endpoint or MERIDIAN_ENDPOINTS".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_keeps_its_exit_code() {
        let (cause, next) = (String::new, String::new);
        for (failure, code) in [
            (Failure::Refused { cause: cause(), next: next() }, 1),
            (Failure::Usage { cause: cause(), next: next() }, 2),
            (Failure::Conflict { cause: cause(), next: next() }, 3),
            (Failure::Unavailable { cause: cause(), next: next() }, 4),
            (Failure::Unknown { cause: cause(), next: next() }, 5),
            (Failure::NotConverged { cause: cause(), next: next() }, 5),
            (Failure::ReaderGone, 0),
            (Failure::Interrupted, 130),
        ] {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
