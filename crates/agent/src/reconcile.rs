//! The loop that keeps this machine's units as the log says.
//!
//! Level-triggered: each round looks at everything anew and needs no memory of the last one, so it
//! may run at any moment, twice, or after a crash in the middle. What the agent knows beside that is
//! who waits after a failure, which a crash may lose, and the desired set, which is durable before it
//! is acted on.
//!
//! Serving never needs a quorum. An agent without one goes on with the set that it stored last, and
//! starts units of it again, also after a restart. It stops none until this process has made one read
//! that a majority confirmed, and its set is at least that new.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::report::UnitStatus;
use meridian_domain::{AgentName, Generation, Incarnation};
use meridian_ports::{Propose, Read, UnitLoads};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::act::{Acts, Done, with_causes};
use crate::backoff::{Backoff, Moment};
use crate::desired::{self, Desired};
use crate::diff::{Action, Plan, Scene, diff};
use crate::driver::{Driver, stop_all};
use crate::jitter::jittered;
use crate::keep::{Keep, KeptFile};
use crate::metrics;
use crate::observe::{Observed, Observer};
use crate::planted::{Bug, planted};
use crate::report::Reporter;
use crate::standing::Standing;

/// Between two rounds in which nothing calls for one.
const PERIOD: Duration = Duration::from_secs(5);
/// Between the beginnings of two rounds at least: many changes in a short time are met together.
const PACE: Duration = Duration::from_millis(10);
/// Before a driver that cannot be reached is asked again while the agent leaves.
const RETRY: Duration = Duration::from_secs(1);

/// What the reconciler has to know.
#[derive(Debug, Clone)]
pub struct ReconcilerConfig {
    /// This agent.
    pub agent: AgentName,
    /// The data directory, whose lock the caller holds.
    pub directory: PathBuf,
    /// This life of the agent, from [`crate::generation::raise`].
    pub generation: Generation,
    /// Where it says how busy its units are.
    pub loads: watch::Sender<UnitLoads>,
}

/// The stored desired set cannot be believed.
#[derive(Debug, thiserror::Error)]
#[error("{path} does not give the units that this agent is to have")]
pub struct BuildError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The desired set could not be made durable, so it must not be acted on.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written")]
pub struct RunError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Why the reconciler ended. Nothing is wrong either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to. The units go on.
    Shutdown,
    /// A majority confirmed that this agent was removed from its cluster, and its units have ended.
    /// The same data directory leads to this again; the agent has nothing left to do.
    Removed,
}

/// Keeps the units of one agent as the log says.
pub struct Reconciler {
    /// Where the desired set is on the disk.
    kept: Arc<dyn Keep>,
    driver: Arc<dyn Driver>,
    observer: Observer,
    /// What is acted on; it is on the disk.
    desired: Desired,
    backoff: Backoff,
    acts: Acts,
    reporter: Reporter,
    standing: Standing,
    loads: watch::Sender<UnitLoads>,
    /// When the last round began.
    began: Instant,
    /// When the next one begins at the latest.
    wake: Instant,
}

impl Reconciler {
    /// Reads the desired set that was stored last in the data directory. Nothing is started yet.
    ///
    /// # Errors
    /// If there is one that cannot be read.
    pub fn build(
        config: ReconcilerConfig,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
        driver: Arc<dyn Driver>,
    ) -> Result<Self, BuildError> {
        let kept = KeptFile { directory: config.directory.clone(), name: desired::NAME };
        Self::build_on(Arc::new(kept), config, propose, read, driver)
    }

    /// The same, where the desired set is kept elsewhere.
    ///
    /// # Errors
    /// If there is one that cannot be read.
    pub fn build_on(
        kept: Arc<dyn Keep>,
        config: ReconcilerConfig,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
        driver: Arc<dyn Driver>,
    ) -> Result<Self, BuildError> {
        let ReconcilerConfig { agent, directory: _, generation, loads } = config;
        let desired = desired::load(&*kept)
            .map_err(|source| BuildError { path: kept.path(), source: source.into() })?;
        let now = Instant::now();
        Ok(Self {
            observer: Observer::new(agent.clone(), Arc::clone(&driver), Arc::clone(&read)),
            acts: Acts::new(Arc::clone(&driver)),
            reporter: Reporter::new(agent, generation, propose, Arc::clone(&read)),
            standing: Standing::new(read),
            backoff: Backoff::default(),
            kept,
            driver,
            desired,
            loads,
            began: now,
            wake: now,
        })
    }

    /// Works until `shutdown`, or until the cluster has removed this agent. Dropping the future is
    /// as good as a shutdown: units that are being started or stopped go on by themselves.
    ///
    /// # Errors
    /// If the desired set could not be stored. The units go on as they are.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<Ended, RunError> {
        tokio::select! {
            () = shutdown.cancelled() => Ok(Ended::Shutdown),
            ended = self.work() => ended,
        }
    }

    async fn work(&mut self) -> Result<Ended, RunError> {
        while !self.desired.removed {
            self.round().await?;
            self.wait().await;
            if self.standing.is_removed() {
                let (revision, removed) = (self.desired.revision, true);
                self.act_on(Desired { revision, removed, ..Desired::default() }).await?;
            }
        }
        self.leave().await;
        Ok(Ended::Removed)
    }

    /// Observes, compares, acts and reports.
    async fn round(&mut self) -> Result<(), RunError> {
        let now = Moment::now();
        self.began = now.instant;
        self.wake = now.instant + jittered(PERIOD);
        let observed = match self.observer.units().await {
            Ok(observed) => observed,
            Err(error) => {
                let cause = with_causes(&error);
                tracing::warn!(%cause, "the units cannot be seen; nothing is done about them");
                return Ok(());
            }
        };
        if let Some(newest) = self.observer.desired()
            && newest.revision >= self.desired.revision
        {
            self.act_on(newest).await?;
        }
        self.learn(&observed, now);
        let acts = &self.acts;
        let Plan { actions, rows, wake } = diff(&Scene {
            desired: &self.desired,
            observed: &observed,
            backoff: &self.backoff,
            busy: &|incarnation| acts.is_busy(incarnation),
            confirmed: self.standing.confirms(self.desired.revision)
                || planted(Bug::StopBeforeConfirmedRead),
            now,
        });
        self.wake = wake.map_or(self.wake, |wake| wake.min(self.wake));
        metrics::units(&observed, &rows);
        self.loads.send_replace(observed.iter().map(|(id, unit)| (*id, unit.load)).collect());
        actions.into_iter().for_each(|action| self.act(action));
        self.configure(&observed).await;
        self.reporter.report(self.desired.revision, rows);
        metrics::round(self.began.elapsed());
        Ok(())
    }

    /// Makes `desired` what is acted on, once it is durable.
    async fn act_on(&mut self, desired: Desired) -> Result<(), RunError> {
        if !self.desired.is_same_set(&desired) {
            let stored = desired::store(&*self.kept, &desired).await;
            stored.map_err(|source| RunError { path: self.kept.path(), source })?;
        }
        self.desired = desired;
        Ok(())
    }

    /// Counts the failures among what is seen.
    fn learn(&mut self, observed: &Observed, now: Moment) {
        let acts = &self.acts;
        let busy = |incarnation| acts.is_busy(incarnation);
        for incarnation in self.backoff.learn(&self.desired, observed, busy, now) {
            self.tell_failure(incarnation);
        }
    }

    fn act(&mut self, action: Action) {
        let revision = self.desired.revision;
        match action {
            Action::Start(spec) => {
                // Without room now, the end of another start is the occasion.
                if !self.acts.can_start() {
                    return;
                }
                let again = self.backoff.has_failed(spec.incarnation);
                tracing::info!(
                    %revision, service = %spec.unit.service, region = %spec.unit.region,
                    slot = spec.unit.slot, incarnation = %spec.incarnation, again,
                    "starts a unit"
                );
                if again {
                    metrics::restart();
                }
                self.acts.start(spec);
            }
            Action::Stop { unit, incarnation, why } => {
                tracing::info!(
                    %revision, service = %unit.service, region = %unit.region,
                    slot = unit.slot, %incarnation, ?why,
                    "stops a unit"
                );
                self.acts.stop(incarnation);
            }
        }
    }

    /// Says to every unit that runs what it is to serve. The driver knows what is new to whom.
    async fn configure(&self, observed: &Observed) {
        for incarnation in observed.keys() {
            let Some(configuration) = self.desired.configuration(*incarnation) else { continue };
            let told = self.driver.configure(*incarnation, Arc::clone(configuration)).await;
            if let Err(error) = told {
                let cause = with_causes(&error);
                tracing::warn!(%incarnation, %cause, "the unit cannot be told what to serve");
            }
        }
    }

    /// Returns when there is reason for another round.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.observer.changed() => {}
            done = self.acts.next() => self.note(done),
            () = self.reporter.answered() => {}
            () = self.standing.heard() => {}
            () = sleep_until(self.wake) => {}
        }
        sleep_until(self.began + PACE).await;
        while let Some(done) = self.acts.try_next() {
            self.note(done);
        }
    }

    fn note(&mut self, done: Done) {
        match done {
            Done::Started(incarnation) => self.backoff.started(incarnation),
            Done::NotStarted(incarnation, cause) => {
                self.backoff.failed(incarnation, cause, Moment::now());
                self.tell_failure(incarnation);
            }
            Done::Stopped(_) => {}
        }
    }

    fn tell_failure(&self, incarnation: Incarnation) {
        let Some(unit) = self.desired.units.get(&incarnation).map(|unit| &unit.unit) else {
            return;
        };
        let Some(UnitStatus::Failed { restarts, next_try, cause }) =
            self.backoff.failure(incarnation)
        else {
            return;
        };
        tracing::warn!(
            revision = %self.desired.revision, service = %unit.service, region = %unit.region,
            slot = unit.slot, %incarnation, restarts, %next_try, cause,
            "a unit failed"
        );
    }

    /// Has every unit end.
    async fn leave(&mut self) {
        tracing::warn!(
            revision = %self.desired.revision,
            "this agent was removed from its cluster: all its units are drained"
        );
        // What is being started now would otherwise come after the last look.
        self.acts.settle().await;
        while let Err(error) = stop_all(&*self.driver).await {
            tracing::warn!(cause = %with_causes(&error), "the units cannot be told to end");
            sleep(RETRY).await;
        }
    }
}
