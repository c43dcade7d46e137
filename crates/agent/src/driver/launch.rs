//! What the drivers do alike: all but launching a unit.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;

use super::units::Units;
use super::{Driver, RunningUnit, StartError, UnitSpec, Unreachable};

/// How a driver launches units. The rest of a [`Driver`] follows from its [`Units`].
#[async_trait]
pub(super) trait Launch: Clone + fmt::Debug + Send + Sync + 'static {
    /// Its units. Clones of the driver have the same.
    fn units(&self) -> &Arc<Units>;

    /// Returns once the units of earlier lives are among them. Fails where that cannot be known yet.
    async fn found(&self) -> Result<(), Unreachable> {
        Ok(())
    }

    /// Launches a unit that does not run, while no other is launched.
    async fn launch(&self, spec: UnitSpec) -> Result<(), StartError>;
}

#[async_trait]
impl<T: Launch> Driver for T {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        self.found().await?;
        Ok(self.units().table().units())
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        // A start that is cut short between two of its steps would leave a unit unwatched.
        let start = tokio::spawn(start(self.clone(), spec));
        start.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.found().await?;
        self.units().stop(incarnation).await;
        Ok(())
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        self.found().await?;
        self.units().table().configure(incarnation, configuration);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.units().changes()
    }
}

async fn start(driver: impl Launch, spec: UnitSpec) -> Result<(), StartError> {
    driver.found().await.map_err(|Unreachable(error)| StartError::Engine(error))?;
    let units = driver.units();
    let _one_at_a_time = units.starting.lock().await;
    if units.runs(spec.incarnation) {
        units.table().configure(spec.incarnation, spec.configuration);
        return Ok(());
    }
    driver.launch(spec).await
}
