//! The part that all drivers share: [`Driver`] for everything that implements [`Launch`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;

use super::units::Units;
use super::{Driver, RunningUnit, StartError, UnitSpec, Unreachable};

/// A driver that keeps its units in [`Units`] and can launch one. [`Driver`] is implemented for it.
#[async_trait]
pub(super) trait Launch: Clone + fmt::Debug + Send + Sync + 'static {
    /// Returns the units of this driver. Clones of the driver share them.
    fn units(&self) -> &Arc<Units>;

    /// Returns once the units of earlier process runs have been adopted.
    ///
    /// # Errors
    /// If they cannot be determined yet.
    async fn ensure_adopted(&self) -> Result<(), Unreachable> {
        Ok(())
    }

    /// Launches a unit that is not running. Launches of one incarnation do not overlap.
    async fn launch(&self, spec: UnitSpec) -> Result<(), StartError>;
}

#[async_trait]
impl<T: Launch> Driver for T {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        self.ensure_adopted().await?;
        Ok(self.units().table().units())
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        // Cancelling a start between two of its steps would leave a unit without a supervisor.
        let start = tokio::spawn(start(self.clone(), spec));
        start.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.ensure_adopted().await?;
        self.units().stop(incarnation).await;
        Ok(())
    }

    async fn kill(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.ensure_adopted().await?;
        self.units().table().kill(incarnation);
        Ok(())
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        self.ensure_adopted().await?;
        self.units().table().configure(incarnation, configuration);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.units().changes()
    }
}

async fn start(driver: impl Launch, spec: UnitSpec) -> Result<(), StartError> {
    driver.ensure_adopted().await.map_err(|Unreachable(error)| StartError::Engine(error))?;
    let units = driver.units();
    let _starting = units.starting.lock(spec.incarnation).await;
    if units.is_running(spec.incarnation) {
        units.table().configure(spec.incarnation, spec.configuration);
        return Ok(());
    }
    let intent = units.intent(&spec);
    let key = intent.listener_key();
    let was_open = units.table().listener(&key).is_some();
    units.begin_launch(&intent)?;
    let launched = driver.launch(spec).await;
    units.table().end_launch(intent.incarnation);
    match launched {
        Ok(()) => {}
        Err(_) if was_open => {
            let units = Arc::clone(units);
            tokio::spawn(async move { units.close_unused_later(key).await });
        }
        Err(_) => units.table().close_unused(&key),
    }
    launched
}
