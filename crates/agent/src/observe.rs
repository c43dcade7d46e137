//! Observes the units of the driver, and the desired set of the log on this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use meridian_domain::{Generation, Incarnation, NodeId, Revision, Sequence};
use meridian_ports::Read;
use tokio::sync::watch;

use crate::desired::Desired;
use crate::driver::{Driver, RunningUnit, Unreachable};

/// Units of the driver, by incarnation.
pub(crate) type Observed = BTreeMap<Incarnation, RunningUnit>;

/// Reads from the driver and from the log.
pub(crate) struct Observer {
    node: NodeId,
    driver: Arc<dyn Driver>,
    read: Arc<dyn Read>,
    changes: watch::Receiver<u64>,
    durable: watch::Receiver<Revision>,
    /// A set that is applied on this node but not yet durable here.
    pending: Option<Desired>,
}

impl Observer {
    pub(crate) fn new(node: NodeId, driver: Arc<dyn Driver>, read: Arc<dyn Read>) -> Self {
        let (changes, durable) = (driver.changes(), read.durable());
        Self { node, driver, read, changes, durable, pending: None }
    }

    /// Lists the units of the driver.
    pub(crate) async fn units(&mut self) -> Result<Observed, Unreachable> {
        self.changes.mark_unchanged();
        let units = self.driver.list().await?;
        Ok(units.into_iter().map(|unit| (unit.incarnation, unit)).collect())
    }

    /// Returns the newest set that is known to be durable on this node, or `None` if there is no
    /// new one.
    ///
    /// The applied state may be ahead of the disk all the time. So a set that is not durable yet is
    /// remembered and returned once the disk has reached its revision. Waiting until the newest
    /// state is durable might never end.
    pub(crate) fn desired(&mut self) -> Option<Desired> {
        let durable = *self.durable.borrow_and_update();
        let newest = Desired::of(&self.read.state(), self.node);
        if newest.revision <= durable {
            self.pending = None;
            return Some(newest);
        }
        match &self.pending {
            Some(pending) if pending.revision > durable => None,
            Some(_) | None => self.pending.replace(newest),
        }
    }

    /// Returns the generation of the newest report of this agent in the log, if that report is newer
    /// than `sent`, the last one that this process run has sent.
    pub(crate) fn newer_generation(&self, sent: (Generation, Sequence)) -> Option<Generation> {
        let state = self.read.state();
        let agent = state.agents.values().find(|agent| agent.description.node == self.node)?;
        Some(agent.last_report).filter(|newest| *newest > sent).map(|(generation, _)| generation)
    }

    /// Returns when the driver's units or the durable revision may have changed since they were
    /// last read. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.changes) => {}
            () = changed(&mut self.durable) => {}
        }
    }
}

/// Returns when the value changes. Pends forever once the sender is gone.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending().await
    }
}
