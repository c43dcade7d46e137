//! A worker: one thread's share of a unit.

use std::sync::Arc;

use arc_swap::Guard;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backends::Connector;
use crate::configuration::Configuration;
use crate::forward::Tunnels;
use crate::shared::Shared;
use crate::via_header::ViaHeader;
use crate::worker_pool::WorkerPool;

/// One thread's share of a unit.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Index of the worker, from 0.
    pub(crate) number: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) via: ViaHeader,
    pub(crate) tunnels: Tunnels,
    /// All workers of the unit, including this one.
    pub(crate) pool: Arc<WorkerPool>,
    /// The worker's connections, upgraded ones included.
    pub(crate) tracker: TaskTracker,
    /// Cancelled at the end of the graceful phase of the drain.
    pub(crate) finish: CancellationToken,
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        pool: Arc<WorkerPool>,
        connector: Connector,
    ) -> Self {
        let tracker = pool.connections(number).clone();
        let via = ViaHeader::new(&shared.config().unit);
        let finish = CancellationToken::new();
        let finish_timeout = shared.config().drain_timeouts.finish;
        let tunnels = Tunnels { tracker: tracker.clone(), finish: finish.clone(), finish_timeout };
        Self { number, shared, connector, via, tunnels, pool, tracker, finish }
    }

    /// Returns the configuration in force, or `None` before the first one. Must not be held across
    /// an await point.
    pub(crate) fn configuration(&self) -> Guard<Option<Arc<Configuration>>> {
        self.shared.configuration(self.number)
    }
}
