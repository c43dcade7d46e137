//! Log of connection errors of a backend, for operators: clients only learn that the backend is
//! unreachable.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Minimum interval between two warnings about the same error.
const SAME_ERROR_INTERVAL: Duration = Duration::from_secs(60);
/// Minimum interval between two warnings about different errors.
const OTHER_ERROR_INTERVAL: Duration = Duration::from_secs(1);

/// Rate limiter of the warnings about one backend. Every request hits the same error, so most are
/// not logged.
#[derive(Debug, Default)]
pub(crate) struct BackendErrorLog {
    last_warning: Mutex<Option<Warning>>,
}

#[derive(Debug)]
struct Warning {
    error: String,
    at: Instant,
}

impl BackendErrorLog {
    /// Logs that the backend of `api` is unreachable.
    pub(crate) fn record(&self, api: &str, error: &(dyn Error + 'static)) {
        let error = error_chain(error);
        if self.should_warn(&error, Instant::now()) {
            tracing::warn!(api, %error, "the backend of an API is unreachable");
        } else {
            tracing::debug!(api, %error, "the backend of an API is unreachable");
        }
    }

    fn should_warn(&self, error: &str, now: Instant) -> bool {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        let is_suppressed = last.as_ref().is_some_and(|last| {
            let interval =
                if last.error == error { SAME_ERROR_INTERVAL } else { OTHER_ERROR_INTERVAL };
            now.saturating_duration_since(last.at) < interval
        });
        if !is_suppressed {
            *last = Some(Warning { error: error.to_owned(), at: now });
        }
        !is_suppressed
    }
}

/// Returns the error with its sources, joined by colons. Repeated texts of wrapped errors are
/// dropped.
fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_warned_about_once_a_minute() {
        let (log, begin) = (BackendErrorLog::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        for (error, at, warns) in [
            ("refused", 0, true),
            ("refused", 59, false),
            ("expired", 59, true),
            ("refused", 59, false),
            ("expired", 61, false),
            ("expired", 119, true),
        ] {
            assert_eq!(log.should_warn(error, after(at)), warns, "{error} after {at} s");
        }
    }
}
