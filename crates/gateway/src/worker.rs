//! One thread's share of a unit.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backends::Connector;
use crate::crew::Crew;
use crate::forward::Tunnels;
use crate::shared::Shared;

/// One thread's share of a unit.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) tunnels: Tunnels,
    /// This worker and the others.
    pub(crate) crew: Arc<Crew>,
    /// Its connections, and what became of those that left HTTP.
    pub(crate) tracker: TaskTracker,
    /// Set when the polite part of the drain is over.
    pub(crate) finish: CancellationToken,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, crew: Arc<Crew>, connector: Connector) -> Self {
        let tracker = crew.connections(connector.worker()).clone();
        let finish = CancellationToken::new();
        let patience = shared.config().patience.finish;
        let tunnels = Tunnels { tracker: tracker.clone(), finish: finish.clone(), patience };
        Self { shared, connector, tunnels, crew, tracker, finish }
    }
}
