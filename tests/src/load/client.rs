//! One connection after another, and the requests on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::counts::{Counts, Failure, FailureKind};
use super::exchange::{Connection, ExchangeError, Sender, timed_out};
use super::plan::{Plan, Version};

/// Delay after a failure, so that a load that only fails does not spin.
const FAILURE_DELAY: Duration = Duration::from_millis(20);

/// State shared by the clients of a load.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    /// Number of requests that may still be started.
    pub(super) remaining: AtomicU64,
    pub(super) counts: Mutex<Counts>,
    pub(super) stop: CancellationToken,
}

/// The end of a connection. With several streams, the greatest of their ends is that of the
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// No further request is to be sent, or none on this connection.
    Done,
    /// The server closed it before the first request.
    Unused,
    /// A request failed.
    Failed,
    /// The server closed it between requests without an announcement.
    Unannounced,
    /// The server announced the close.
    Announced,
}

/// The client of one of the plan's connections.
pub(super) struct Client {
    shared: Arc<Shared>,
}

impl Shared {
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a request. Returns false if no further request may be started.
    fn reserve(&self) -> bool {
        let decrement = |remaining: u64| remaining.checked_sub(1);
        !self.stop.is_cancelled()
            && self.remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement).is_ok()
    }

    /// Releases a reserved request that was not sent.
    fn release(&self) {
        self.remaining.fetch_add(1, Ordering::Relaxed);
    }

    fn finished(&self) -> bool {
        self.stop.is_cancelled() || self.remaining.load(Ordering::Relaxed) == 0
    }

    async fn record_failure(&self, failure: Failure) {
        self.counts().failure(failure);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(FAILURE_DELAY) => {}
        }
    }
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) async fn run(self) {
        let shared = &*self.shared;
        let plan = &shared.plan;
        let mut previous_unused = false;
        while !shared.finished() {
            let opening = tokio::time::timeout(plan.timeout, Connection::open(plan)).await;
            let opened = opening.unwrap_or_else(|_| Err(timed_out(plan.timeout)));
            let mut connection = match opened {
                Ok(connection) => connection,
                Err(failure) => {
                    // The failed connection counts as the request that it was opened for.
                    if shared.reserve() {
                        shared.record_failure(failure).await;
                    }
                    continue;
                }
            };
            shared.counts().opened += 1;
            let streams = connection.senders.iter_mut().map(|sender| self.requests(sender));
            let ends = join_all(streams).await;
            let end = ends.into_iter().max().unwrap_or(End::Done);
            let unused = end == End::Unused;
            match end {
                End::Done | End::Failed => {}
                End::Unannounced => shared.counts().unannounced_closes += 1,
                End::Announced => shared.counts().announced_closes += 1,
                // An HTTP/2 server may announce a shutdown at any time. But if the next connection
                // fails in the same way, the client is not being served.
                End::Unused if plan.version != Version::Http1 && !previous_unused => {
                    shared.counts().announced_closes += 1;
                }
                End::Unused => {
                    if shared.reserve() {
                        shared.record_failure(unused_connection()).await;
                    }
                }
            }
            previous_unused = unused;
        }
    }

    /// Sends requests one after another while the connection is usable.
    async fn requests(&self, sender: &mut Sender) -> End {
        let shared = &*self.shared;
        let plan = &shared.plan;
        let (mut used, mut completed) = (false, 0);
        while plan.requests_per_connection.is_none_or(|limit| completed < limit) && shared.reserve()
        {
            let sent = Instant::now();
            let closes = match sender.exchange(plan).await {
                Ok(success) => {
                    shared.counts().success(sent.elapsed(), success.unit);
                    success.closes
                }
                Err(ExchangeError::NotSent) => {
                    shared.release();
                    return if used { closed_between_requests(plan) } else { End::Unused };
                }
                Err(ExchangeError::Unprocessed) => {
                    shared.release();
                    shared.counts().unprocessed += 1;
                    return if used { End::Announced } else { End::Unused };
                }
                Err(ExchangeError::Failed(failure)) => {
                    shared.record_failure(failure).await;
                    if !sender.is_usable() {
                        return End::Failed;
                    }
                    false
                }
                Err(ExchangeError::Unexpected(failure, closes)) => {
                    shared.record_failure(failure).await;
                    closes
                }
            };
            (used, completed) = (true, completed + 1);
            if closes && plan.keep_alive {
                return End::Announced;
            }
            self.think().await;
            if !plan.keep_alive {
                return End::Done;
            }
        }
        End::Done
    }

    async fn think(&self) {
        if self.shared.plan.think_time > Duration::ZERO {
            tokio::select! {
                () = self.shared.stop.cancelled() => {}
                () = tokio::time::sleep(self.shared.plan.think_time) => {}
            }
        }
    }
}

fn unused_connection() -> Failure {
    let detail = "closed before the first request was written".to_owned();
    Failure { kind: FailureKind::Reset, detail }
}

/// Classifies the end of a connection that was closed between two requests.
fn closed_between_requests(plan: &Plan) -> End {
    match plan.version {
        Version::Http1 => End::Unannounced,
        Version::Http2 { .. } => End::Announced,
    }
}
