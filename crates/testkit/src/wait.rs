//! Helpers that wait for a condition instead of a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

/// Timeout of a condition. Generous, so that a busy machine does not fail a test.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Polls `condition` until it returns `Some`, and returns the value.
///
/// # Panics
/// If the condition is not met within [`TIMEOUT`]; the message includes `what`.
pub async fn until<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < TIMEOUT, "timed out after {TIMEOUT:?} waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Retries `attempt` until it succeeds, and returns its value.
///
/// # Panics
/// If no attempt succeeds within [`TIMEOUT`]; the message includes `what` and the last error.
pub async fn until_ok<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = anyhow::Result<T>>,
{
    let began = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                assert!(
                    began.elapsed() < TIMEOUT,
                    "timed out after {TIMEOUT:?} waiting for {what}: {error:#}"
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
