//! The real driver, with every request reported on the standard output.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use meridian_agent::driver::{
    Builtin, Driver, Phase, RunningUnit, StartError, UnitSpec, Unreachable,
};
use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;

use crate::progress::Progress;

/// Reports requests to the driver, and their completion.
#[derive(Debug)]
pub(super) struct ReportingDriver {
    driver: Builtin,
}

impl ReportingDriver {
    pub(super) fn new(driver: Builtin) -> Self {
        Self { driver }
    }

    /// Waits until there are exactly `units` units, all ready.
    pub(super) async fn wait_for_units(&self, units: usize) -> Result<()> {
        let mut changes = self.driver.changes();
        loop {
            changes.mark_unchanged();
            let list = self.driver.list().await?;
            if list.len() == units && list.iter().all(|unit| unit.phase == Phase::Ready) {
                return Ok(());
            }
            changes.changed().await?;
        }
    }
}

fn report(progress: &Progress) {
    progress.report().expect("the standard output is open");
}

#[async_trait]
impl Driver for ReportingDriver {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        self.driver.list().await
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let incarnation = spec.incarnation.0;
        report(&Progress::Wanted { incarnation });
        self.driver.start(spec).await?;
        report(&Progress::Started { incarnation });
        Ok(())
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        report(&Progress::Released { incarnation: incarnation.0 });
        self.driver.stop(incarnation).await
    }

    async fn kill(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.driver.kill(incarnation).await
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        self.driver.configure(incarnation, configuration).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.driver.changes()
    }
}
