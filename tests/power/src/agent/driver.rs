//! The real driver, and a word on the standard output for all that it is told.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use meridian_agent::driver::{
    Builtin, Driver, Phase, RunningUnit, StartError, UnitSpec, Unreachable,
};
use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;

use crate::said::Said;

/// Says what the driver was told, and that it has done it.
#[derive(Debug)]
pub(super) struct Telling {
    driver: Builtin,
}

impl Telling {
    pub(super) fn new(driver: Builtin) -> Self {
        Self { driver }
    }

    /// Returns once there are so many units, and all are ready.
    pub(super) async fn settled(&self, units: usize) -> Result<()> {
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

fn say(said: &Said) {
    said.say().expect("somebody listens");
}

#[async_trait]
impl Driver for Telling {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        self.driver.list().await
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let incarnation = spec.incarnation.0;
        say(&Said::Wanted { incarnation });
        self.driver.start(spec).await?;
        say(&Said::Started { incarnation });
        Ok(())
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        say(&Said::Released { incarnation: incarnation.0 });
        self.driver.stop(incarnation).await
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
