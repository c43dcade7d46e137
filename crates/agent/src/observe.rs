//! What is so: the units that the driver has, and what the log on this node wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use meridian_domain::{AgentName, Incarnation, Revision};
use meridian_ports::Read;
use tokio::sync::watch;

use crate::desired::Desired;
use crate::driver::{Driver, RunningUnit, Unreachable};

/// The driver's units.
pub(crate) type Observed = BTreeMap<Incarnation, RunningUnit>;

/// Looks at the driver and at the log.
pub(crate) struct Observer {
    agent: AgentName,
    driver: Arc<dyn Driver>,
    read: Arc<dyn Read>,
    changes: watch::Receiver<u64>,
    durable: watch::Receiver<Revision>,
    /// A set that is applied on this node, and waits until it is durable here.
    pending: Option<Desired>,
}

impl Observer {
    pub(crate) fn new(agent: AgentName, driver: Arc<dyn Driver>, read: Arc<dyn Read>) -> Self {
        let (changes, durable) = (driver.changes(), read.durable());
        Self { agent, driver, read, changes, durable, pending: None }
    }

    /// The units that the driver has.
    pub(crate) async fn units(&mut self) -> Result<Observed, Unreachable> {
        self.changes.mark_unchanged();
        let units = self.driver.list().await?;
        Ok(units.into_iter().map(|unit| (unit.incarnation, unit)).collect())
    }

    /// The newest set that is known to be durable on this node, if there is one that was not
    /// returned before it became so.
    ///
    /// The state may run ahead of the disk all the time, so a set is taken down when it is seen and
    /// believed when the disk has come to it. Waiting for the two to meet could take for ever.
    pub(crate) fn desired(&mut self) -> Option<Desired> {
        let durable = *self.durable.borrow_and_update();
        let newest = Desired::of(&self.read.state(), &self.agent);
        if newest.revision <= durable {
            self.pending = None;
            return Some(newest);
        }
        match &self.pending {
            Some(pending) if pending.revision > durable => None,
            Some(_) | None => self.pending.replace(newest),
        }
    }

    /// Returns when either may have changed since it was looked at. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.changes) => {}
            () = changed(&mut self.durable) => {}
        }
    }
}

/// Returns when the value changes; never, once nobody can change it.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending().await
    }
}
