//! HTTP clients that keep a constant load on an address or name and count the results, and backends for the
//! other side of a gateway.
//!
//! | module | purpose |
//! | --- | --- |
//! | `plan` | the parameters of a load |
//! | `client` | one connection after another, and the requests on it |
//! | `exchange` | one request, and its errors |
//! | `counts` | counters of the results |
//! | `backend` | a server that returns bodies of a given size, or echoes requests |
//! | `faulty` | servers with injected faults |
//!
//! There are no hidden retries. A connection that the server closed between two requests is
//! reopened, and counted; so is a request that an HTTP/2 server reported as unprocessed. A request
//! that was sent and received no response is a failure.

mod backend;
mod client;
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
pub use faulty::{Fault, FaultyServer};
pub use plan::{Plan, Server, Version};

use client::{Client, Shared};

/// A running load. Dropping it aborts the requests in flight, which are not counted.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts the clients; must be called within a tokio runtime.
    #[must_use]
    pub fn start(plan: Plan) -> Self {
        let connections = plan.connections;
        let remaining = AtomicU64::new(plan.requests.unwrap_or(u64::MAX));
        let shared = Arc::new(Shared {
            plan,
            remaining,
            counts: Default::default(),
            stop: CancellationToken::new(),
        });
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            clients.spawn(Client::new(Arc::clone(&shared)).run());
        }
        Self { shared, clients }
    }

    /// Returns and resets the counters.
    #[must_use]
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.shared.counts())
    }

    /// Stops sending, waits for the requests in flight, and returns the counters since the last
    /// [`Load::take`].
    pub async fn stop(self) -> Counts {
        self.shared.stop.cancel();
        self.finish().await
    }

    /// Waits for all requests of the plan; forever if their number is unlimited.
    pub async fn finish(mut self) -> Counts {
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("client tasks do not panic");
        }
        self.take()
    }
}

#[cfg(test)]
mod tests;
