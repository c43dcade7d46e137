//! One connection after the other, and the requests on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::counts::{Counts, Failure, FailureKind};
use super::exchange::{Connection, Fault, Sender, late};
use super::plan::{Plan, Version};

/// The pause after a failure: where all fail, trying as fast as possible only burns time.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

/// What the callers of a load have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    /// Requests that may still be begun.
    pub(super) left: AtomicU64,
    pub(super) counts: Mutex<Counts>,
    pub(super) stop: CancellationToken,
}

/// How the use of a connection ended. The greatest of several streams is that of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// No further request is wanted, or none on this connection.
    Done,
    /// It was closed before anything was written to it.
    Unused,
    Failed,
    Silent,
    Announced,
}

/// One of the plan's connections.
pub(super) struct Caller {
    shared: Arc<Shared>,
}

impl Shared {
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another request may begin.
    fn begin(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        !self.stop.is_cancelled()
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Gives back what [`Shared::begin`] took: the request was not written.
    fn take_back(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self) -> bool {
        self.stop.is_cancelled() || self.left.load(Ordering::Relaxed) == 0
    }

    async fn failed(&self, failure: Failure) {
        self.counts().failure(failure);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(AFTER_FAILURE) => {}
        }
    }
}

impl Caller {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) async fn run(self) {
        let shared = &*self.shared;
        let plan = &shared.plan;
        let mut unused_before = false;
        while !shared.ended() {
            let opening = tokio::time::timeout(plan.timeout, Connection::open(plan)).await;
            let opened = opening.unwrap_or_else(|_| Err(late(plan.timeout)));
            let mut connection = match opened {
                Ok(connection) => connection,
                Err(failure) => {
                    // It stands for the request that would have been written.
                    if shared.begin() {
                        shared.failed(failure).await;
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
                End::Silent => shared.counts().silent_closes += 1,
                End::Announced => shared.counts().announced_closes += 1,
                // By HTTP/2 a server that is about to end may say so at any time, but who gets no
                // further on the next connection either is not served.
                End::Unused if plan.version != Version::Http1 && !unused_before => {
                    shared.counts().announced_closes += 1;
                }
                End::Unused => {
                    if shared.begin() {
                        shared.failed(unused_connection()).await;
                    }
                }
            }
            unused_before = unused;
        }
    }

    /// Sends requests one after another, as long as the connection can be used.
    async fn requests(&self, sender: &mut Sender) -> End {
        let shared = &*self.shared;
        let plan = &shared.plan;
        let (mut used, mut answered) = (false, 0);
        while plan.renewal.is_none_or(|most| answered < most) && shared.begin() {
            let sent = Instant::now();
            let closes = match sender.exchange(plan).await {
                Ok(success) => {
                    shared.counts().success(sent.elapsed(), success.unit);
                    success.closes
                }
                Err(Fault::Unwritten) => {
                    shared.take_back();
                    return if used { unwritten(plan) } else { End::Unused };
                }
                Err(Fault::GivenBack) => {
                    shared.take_back();
                    shared.counts().given_back += 1;
                    return if used { End::Announced } else { End::Unused };
                }
                Err(Fault::Broken(failure)) => {
                    shared.failed(failure).await;
                    if !sender.survives() {
                        return End::Failed;
                    }
                    false
                }
                Err(Fault::Wrong(failure, closes)) => {
                    shared.failed(failure).await;
                    closes
                }
            };
            (used, answered) = (true, answered + 1);
            if closes && plan.keep_alive {
                return End::Announced;
            }
            self.rest().await;
            if !plan.keep_alive {
                return End::Done;
            }
        }
        End::Done
    }

    async fn rest(&self) {
        if self.shared.plan.pause > Duration::ZERO {
            tokio::select! {
                () = self.shared.stop.cancelled() => {}
                () = tokio::time::sleep(self.shared.plan.pause) => {}
            }
        }
    }
}

fn unused_connection() -> Failure {
    let seen = "closed before the first request was written".to_owned();
    Failure { kind: FailureKind::Reset, seen }
}

/// What it says of a connection that a request was not written to.
fn unwritten(plan: &Plan) -> End {
    match plan.version {
        Version::Http1 => End::Silent,
        Version::Http2 { .. } => End::Announced,
    }
}
