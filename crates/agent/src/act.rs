//! Telling the driver, in the background: what one unit takes long for holds up no other.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::Incarnation;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use crate::driver::{Driver, UnitSpec};

/// Units that are started at the same time. More would only compete for the processor, and make the
/// first ready later.
const STARTS_AT_ONCE: usize = 8;
/// Before a driver that could not be told is told again.
const RETRY: Duration = Duration::from_secs(1);

/// What the driver is being told.
pub(crate) struct Acts {
    driver: Arc<dyn Driver>,
    tasks: JoinSet<Done>,
    starting: BTreeSet<Incarnation>,
    stopping: BTreeSet<Incarnation>,
}

/// What became of an action.
#[derive(Debug)]
pub(crate) enum Done {
    /// The unit was started.
    Started(Incarnation),
    /// The unit was not started, and why.
    NotStarted(Incarnation, String),
    /// The unit was told to stop, or could not be; then it is still in the driver's list.
    Stopped(Incarnation),
}

impl Acts {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        let (tasks, starting, stopping) = Default::default();
        Self { driver, tasks, starting, stopping }
    }

    /// Whether the driver is being told something about that unit.
    pub(crate) fn is_busy(&self, incarnation: Incarnation) -> bool {
        self.starting.contains(&incarnation) || self.stopping.contains(&incarnation)
    }

    /// Whether there is room for another start.
    pub(crate) fn can_start(&self) -> bool {
        self.starting.len() < STARTS_AT_ONCE
    }

    /// Has a unit started. The unit must not be busy.
    pub(crate) fn start(&mut self, spec: UnitSpec) {
        let (driver, incarnation) = (Arc::clone(&self.driver), spec.incarnation);
        self.starting.insert(incarnation);
        self.tasks.spawn(async move {
            match driver.start(spec).await {
                Ok(()) => Done::Started(incarnation),
                Err(error) => Done::NotStarted(incarnation, with_causes(&error)),
            }
        });
    }

    /// Has a unit stopped. The unit must not be busy.
    pub(crate) fn stop(&mut self, incarnation: Incarnation) {
        let driver = Arc::clone(&self.driver);
        self.stopping.insert(incarnation);
        self.tasks.spawn(async move {
            if let Err(error) = driver.stop(incarnation).await {
                let cause = with_causes(&error);
                tracing::warn!(%incarnation, %cause, "the unit could not be told to stop");
                sleep(RETRY).await;
            }
            Done::Stopped(incarnation)
        });
    }

    /// What becomes of the next action to end; never returns while there is none. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Done {
        match self.tasks.join_next().await {
            Some(ended) => self.end(ended),
            None => std::future::pending().await,
        }
    }

    /// What became of an action that has ended, if one has.
    pub(crate) fn try_next(&mut self) -> Option<Done> {
        let ended = self.tasks.try_join_next()?;
        Some(self.end(ended))
    }

    /// Returns when every action has ended.
    pub(crate) async fn settle(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.end(ended);
        }
    }

    fn end(&mut self, ended: Result<Done, JoinError>) -> Done {
        let done = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        match &done {
            Done::Started(incarnation) | Done::NotStarted(incarnation, _) => {
                self.starting.remove(incarnation)
            }
            Done::Stopped(incarnation) => self.stopping.remove(incarnation),
        };
        done
    }
}

/// The error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
