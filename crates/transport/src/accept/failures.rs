//! Failures of accept(2): logged rarely, and retried after a delay.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Delay after a failed accept, which is usually caused by a lack of file descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// Minimum time between two log lines about failures of one listener.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Failures of one listener, or of several that count as one.
#[derive(Debug)]
pub struct AcceptFailures {
    listener: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_logged: Option<Instant>,
    /// Failures since the last log line.
    unlogged: u64,
}

impl AcceptFailures {
    /// Creates the record of a listener, which log lines call `listener`.
    #[must_use]
    pub fn new(listener: impl Into<String>) -> Self {
        Self { listener: listener.into(), state: Mutex::default() }
    }

    /// Handles a failed accept: logs it, at most once a minute, and waits. Returns at once if only
    /// the connection failed that was to be accepted.
    ///
    /// Cancel-safe.
    pub async fn back_off(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return;
        }
        if let Some(failures) = self.record() {
            tracing::warn!(
                listener = %self.listener, %error, failures,
                "cannot accept connections; retrying. If descriptors are lacking, raise LimitNOFILE"
            );
        }
        sleep(RETRY_DELAY).await;
    }

    /// Records a failure. Returns the number of failures since the last log line if another one is
    /// due.
    fn record(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unlogged += 1;
        let now = Instant::now();
        if state.last_logged.is_some_and(|last| now < last + LOG_INTERVAL) {
            return None;
        }
        state.last_logged = Some(now);
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn persistent_and_alternating_failures_are_logged_once_a_minute() {
        let failures = AcceptFailures::new("client_listen");
        let mut logged = Vec::new();
        let begin = Instant::now();
        while begin.elapsed() < 2 * LOG_INTERVAL {
            logged.extend(failures.record());
            // Accepts that succeed in between make no difference.
            sleep(RETRY_DELAY).await;
        }
        assert_eq!(logged, [1, 1_200]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_lack_of_resources_delays_the_next_accept() {
        let failures = AcceptFailures::new("client_listen");
        let begin = Instant::now();
        failures.back_off(&io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        failures.back_off(&io::ErrorKind::OutOfMemory.into()).await;
        assert!(begin.elapsed() >= RETRY_DELAY);
    }
}
