//! Waiting for conditions, never for times.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition may take: far longer than it ever does, on a machine that is busy with
/// something else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns what `condition` gives, once it gives something.
///
/// # Panics
/// If it gives nothing for [`PATIENCE`], naming `what` was waited for.
pub async fn until<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns what `attempt` gives, once it succeeds.
///
/// # Panics
/// If it fails for [`PATIENCE`], naming `what` was waited for and how the last attempt failed.
pub async fn until_ok<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = anyhow::Result<T>>,
{
    let began = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}: {error:#}");
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
