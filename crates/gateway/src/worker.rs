//! One thread's share of a unit.

use std::sync::Arc;

use arc_swap::Guard;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backends::Connector;
use crate::configuration::Configuration;
use crate::crew::Crew;
use crate::forward::Tunnels;
use crate::shared::Shared;
use crate::via::Via;

/// One thread's share of a unit.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Which one it is, from 0 on.
    pub(crate) number: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) via: Via,
    pub(crate) tunnels: Tunnels,
    /// This worker and the others.
    pub(crate) crew: Arc<Crew>,
    /// Its connections, and what became of those that left HTTP.
    pub(crate) tracker: TaskTracker,
    /// Set when the polite part of the drain is over.
    pub(crate) finish: CancellationToken,
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        crew: Arc<Crew>,
        connector: Connector,
    ) -> Self {
        let tracker = crew.connections(number).clone();
        let via = Via::new(&shared.config().unit);
        let finish = CancellationToken::new();
        let patience = shared.config().patience.finish;
        let tunnels = Tunnels { tracker: tracker.clone(), finish: finish.clone(), patience };
        Self { number, shared, connector, via, tunnels, crew, tracker, finish }
    }

    /// What the worker serves; `None` until the agent says it. Not to be kept over an await.
    pub(crate) fn configuration(&self) -> Guard<Option<Arc<Configuration>>> {
        self.shared.configuration(self.number)
    }
}
