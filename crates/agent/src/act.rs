//! Runs the planned actions on the driver in background tasks, so that a slow unit does not delay
//! the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use error_reporter::Report;
use meridian_domain::Incarnation;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use crate::driver::{Driver, UnitSpec, Unreachable};

/// Maximum number of concurrent starts. More would compete for CPU time and delay the first ready
/// unit.
const MAX_CONCURRENT_STARTS: usize = 8;
/// Maximum number of concurrent starts of units that have failed before: each may wait for a port
/// that another process holds, and the first start of another unit must not wait for them.
const MAX_CONCURRENT_RESTARTS: usize = 4;
/// Delay before a stop that failed may be planned again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The actions in progress, at most one per unit.
pub(crate) struct Actions {
    driver: Arc<dyn Driver>,
    tasks: JoinSet<Completed>,
    starting: BTreeSet<Incarnation>,
    /// Those among `starting` that have failed before.
    restarting: BTreeSet<Incarnation>,
    stopping: BTreeSet<Incarnation>,
}

/// Result of an action.
#[derive(Debug)]
pub(crate) enum Completed {
    /// The driver started the unit.
    Started(Incarnation),
    /// The driver failed to start the unit, with the cause.
    NotStarted(Incarnation, String),
    /// The stop or kill was requested. If the request failed, the unit is still in the driver's list.
    Stopped(Incarnation),
}

impl Actions {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        let (tasks, starting, restarting, stopping) = Default::default();
        Self { driver, tasks, starting, restarting, stopping }
    }

    /// True if an action on that unit is in progress.
    pub(crate) fn is_busy(&self, incarnation: Incarnation) -> bool {
        self.starting.contains(&incarnation) || self.stopping.contains(&incarnation)
    }

    /// True if another start is allowed now; a `restart` is the start of a unit that has failed
    /// before.
    pub(crate) fn can_start(&self, restart: bool) -> bool {
        self.starting.len() < MAX_CONCURRENT_STARTS
            && !(restart && self.restarting.len() >= MAX_CONCURRENT_RESTARTS)
    }

    /// Starts a unit. No action on it may be in progress.
    pub(crate) fn start(&mut self, spec: UnitSpec, restart: bool) {
        let (driver, incarnation) = (Arc::clone(&self.driver), spec.incarnation);
        self.starting.insert(incarnation);
        if restart {
            self.restarting.insert(incarnation);
        }
        self.tasks.spawn(async move {
            match driver.start(spec).await {
                Ok(()) => Completed::Started(incarnation),
                Err(error) => Completed::NotStarted(incarnation, Report::new(&error).to_string()),
            }
        });
    }

    /// Stops a unit. No action on it may be in progress.
    pub(crate) fn stop(&mut self, incarnation: Incarnation) {
        let driver = Arc::clone(&self.driver);
        self.request(incarnation, async move { driver.stop(incarnation).await });
    }

    /// Kills a unit. No action on it may be in progress.
    pub(crate) fn kill(&mut self, incarnation: Incarnation) {
        let driver = Arc::clone(&self.driver);
        self.request(incarnation, async move { driver.kill(incarnation).await });
    }

    fn request(
        &mut self,
        incarnation: Incarnation,
        request: impl Future<Output = Result<(), Unreachable>> + Send + 'static,
    ) {
        self.stopping.insert(incarnation);
        self.tasks.spawn(async move {
            if let Err(error) = request.await {
                let cause = Report::new(&error).to_string();
                tracing::warn!(%incarnation, %cause, "cannot stop the unit; retrying");
                sleep(RETRY_DELAY).await;
            }
            Completed::Stopped(incarnation)
        });
    }

    /// Returns the result of the next action to complete. Pends forever if there is none.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Completed {
        match self.tasks.join_next().await {
            Some(result) => self.complete(result),
            None => std::future::pending().await,
        }
    }

    /// Returns the result of an action that has already completed, if any.
    pub(crate) fn try_next(&mut self) -> Option<Completed> {
        let result = self.tasks.try_join_next()?;
        Some(self.complete(result))
    }

    /// Returns when every action has completed.
    pub(crate) async fn wait_all(&mut self) {
        while let Some(result) = self.tasks.join_next().await {
            self.complete(result);
        }
    }

    fn complete(&mut self, result: Result<Completed, JoinError>) -> Completed {
        let completed =
            result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        match &completed {
            Completed::Started(incarnation) | Completed::NotStarted(incarnation, _) => {
                self.restarting.remove(incarnation);
                self.starting.remove(incarnation)
            }
            Completed::Stopped(incarnation) => self.stopping.remove(incarnation),
        };
        completed
    }
}
