//! Callers that keep a constant load on an address and count what comes of it, and backends for
//! both ends of a gateway.
//!
//! | module | does |
//! | --- | --- |
//! | `plan` | what is asked, by how many, how |
//! | `caller` | one connection after the other, and the requests on it |
//! | `exchange` | one request, and why it failed |
//! | `counts` | how often what happened |
//! | `backend` | a server that gives bodies of a size, or what it was sent |
//! | `faulty` | servers that do not answer as they should |
//!
//! Nothing is tried again in silence. A connection that the server closed between two requests is
//! opened again, which is counted; so is a request that a server of HTTP/2 gave back as not begun. A
//! request that was written and not answered is a failure.

mod backend;
mod caller;
mod counts;
mod exchange;
mod faulty;
mod plan;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use backend::{Backend, MAX_BODY, pattern};
pub use counts::{Counts, Failure, FailureKind};
pub use faulty::{Fault, Faulty};
pub use plan::{Plan, Version};

use caller::{Caller, Shared};

/// Callers at work. Dropped, they end at once, and what they wait for is not counted.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

impl Load {
    /// Starts them, within a runtime of tokio.
    #[must_use]
    pub fn start(plan: Plan) -> Self {
        let connections = plan.connections;
        let left = AtomicU64::new(plan.requests.unwrap_or(u64::MAX));
        let shared = Arc::new(Shared {
            plan,
            left,
            counts: Default::default(),
            stop: CancellationToken::new(),
        });
        let mut callers = JoinSet::new();
        for _ in 0..connections {
            callers.spawn(Caller::new(Arc::clone(&shared)).run());
        }
        Self { shared, callers }
    }

    /// What was counted since the start, or since this was last called.
    #[must_use]
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.shared.counts())
    }

    /// Begins no further request, waits for those that were begun, and gives what was counted since
    /// [`Load::take`].
    pub async fn stop(self) -> Counts {
        self.shared.stop.cancel();
        self.finish().await
    }

    /// Waits until all requests of the plan are done; for ever if it has no end.
    pub async fn finish(mut self) -> Counts {
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("a caller has no reason to panic");
        }
        self.take()
    }
}

#[cfg(test)]
mod tests;
