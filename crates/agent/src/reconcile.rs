//! The reconcile loop: converges this machine's units to the log.
//!
//! The loop is level-triggered: each round observes everything again and needs no result of an
//! earlier round. So a round may run at any moment, twice, or after a crash in the middle. Between
//! rounds the agent keeps only the restart backoff, which a crash may lose, and the desired set,
//! which is durable before it is acted on.
//!
//! Serving never needs a quorum. Without one, an agent continues with the last set that it stored
//! and restarts the units of that set, also after a restart of the agent. It stops no unit until
//! this process has made one quorum-confirmed read and its set is at least as new.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use error_reporter::Report;
use meridian_domain::report::UnitStatus;
use meridian_domain::{AgentName, Generation, Incarnation, NodeId};
use meridian_ports::{Propose, Read, UnitLoads};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::act::{Actions, Completed};
use crate::backoff::{Backoff, Moment};
use crate::desired::{self, Desired};
use crate::desired_store::{DesiredStore, FileStore};
use crate::diff::{Action, Inputs, Plan, diff};
use crate::driver::{Driver, stop_all};
use crate::jitter::jittered;
use crate::lingering::Lingering;
use crate::metrics;
use crate::observe::{Observed, Observer};
use crate::planted::{Bug, planted};
use crate::quorum_check::QuorumCheck;
use crate::report::Reporter;
use crate::store_attempts::{StoreAttempts, Stored};

/// Period of rounds when nothing else triggers one.
const PERIOD: Duration = Duration::from_secs(5);
/// Minimum time between the starts of two rounds, so that changes in quick succession share one.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// Delay before an unreachable driver is tried again while all units are drained.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Configuration of a [`Reconciler`].
#[derive(Debug, Clone)]
pub struct ReconcilerConfig {
    /// Name of this agent.
    pub agent: AgentName,
    /// Its node. Units that the log assigned to an earlier node of the same name are not its own.
    pub node: NodeId,
    /// Data directory. The caller holds its lock.
    pub directory: PathBuf,
    /// Generation of this process run, from [`crate::generation::raise`].
    pub generation: Generation,
    /// Address that gateways listen on. Units that listen elsewhere are replaced.
    pub gateway: IpAddr,
    /// Channel on which the loads of the units are published.
    pub loads: watch::Sender<UnitLoads>,
}

/// The stored desired set cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the desired units from {path}")]
pub struct BuildError {
    /// Path of the file.
    pub path: PathBuf,
    /// Cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The desired set could not be made durable, so it must not be acted on.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the desired units to {path}")]
pub struct RunError {
    /// Path of the file.
    pub path: PathBuf,
    /// Cause.
    #[source]
    pub source: io::Error,
}

/// Reason for the end of [`Reconciler::run`]. None is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Shutdown was requested. The units continue to run.
    Shutdown,
    /// A majority confirmed that the cluster removed this agent, and its units have exited. A
    /// restart on the same data directory ends in the same way.
    Removed,
    /// The log has a report of this agent that is newer than those of this process run: the data
    /// directory was restored from an older copy, or another process runs on a copy of it. The log
    /// ignores this process run, which must raise its generation above `newest`.
    Outdated {
        /// Newest generation in the log. It is that of this process run if the agent was restarted
        /// once since the copy was made.
        newest: Generation,
    },
}

/// Converges the units of one agent to the log.
pub struct Reconciler {
    /// Storage of the desired set.
    store: StoreAttempts,
    driver: Arc<dyn Driver>,
    observer: Observer,
    /// The set that is acted on. It is durable in `store`.
    desired: Desired,
    backoff: Backoff,
    lingering: Lingering,
    actions: Actions,
    reporter: Reporter,
    quorum_check: QuorumCheck,
    gateway: IpAddr,
    loads: watch::Sender<UnitLoads>,
    /// Start of the last round.
    round_started: Instant,
    /// Latest start of the next round.
    next_round: Instant,
}

impl Reconciler {
    /// Reads the desired set last stored in the data directory. Starts no unit.
    ///
    /// # Errors
    /// If a set is stored but cannot be read.
    pub fn build(
        config: ReconcilerConfig,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
        driver: Arc<dyn Driver>,
    ) -> Result<Self, BuildError> {
        let store = FileStore { directory: config.directory.clone(), name: desired::NAME };
        Self::build_with_store(Arc::new(store), config, propose, read, driver)
    }

    /// Like [`build`](Self::build), with another store for the desired set.
    ///
    /// # Errors
    /// If a set is stored but cannot be read.
    pub fn build_with_store(
        store: Arc<dyn DesiredStore>,
        config: ReconcilerConfig,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
        driver: Arc<dyn Driver>,
    ) -> Result<Self, BuildError> {
        let ReconcilerConfig { agent, node, directory: _, generation, gateway, loads } = config;
        let desired = desired::load(&*store)
            .map_err(|source| BuildError { path: store.path(), source: source.into() })?;
        let now = Instant::now();
        Ok(Self {
            observer: Observer::new(node, Arc::clone(&driver), Arc::clone(&read)),
            actions: Actions::new(Arc::clone(&driver)),
            reporter: Reporter::new(agent, generation, propose, Arc::clone(&read)),
            quorum_check: QuorumCheck::new(read),
            backoff: Backoff::default(),
            lingering: Lingering::default(),
            store: StoreAttempts::new(store),
            driver,
            desired,
            gateway,
            loads,
            round_started: now,
            next_round: now,
        })
    }

    /// Reconciles until `shutdown`, or until the cluster has removed this agent. Starts in progress
    /// complete before it returns, so that the driver's list has all units. If the future is
    /// dropped, they continue in the background.
    ///
    /// # Errors
    /// If the desired set could not be stored. The units continue to run unchanged.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<Ended, RunError> {
        tokio::select! {
            () = shutdown.cancelled() => {}
            ended = self.run_rounds() => return ended,
        }
        self.actions.wait_all().await;
        Ok(Ended::Shutdown)
    }

    async fn run_rounds(&mut self) -> Result<Ended, RunError> {
        while !self.desired.removed {
            if let Some(newest) = self.observer.newer_generation(self.reporter.last_sent()) {
                return Ok(Ended::Outdated { newest });
            }
            self.round().await?;
            self.wait().await;
            if self.quorum_check.is_removed() {
                let (revision, removed) = (self.desired.revision, true);
                self.set_desired(Desired { revision, removed, ..Desired::default() }).await?;
            }
        }
        self.drain_all().await;
        Ok(Ended::Removed)
    }

    /// Runs one round: observe, diff, act, report.
    async fn round(&mut self) -> Result<(), RunError> {
        let now = Moment::now();
        self.round_started = now.instant;
        self.next_round = now.instant + jittered(PERIOD);
        let observed = match self.observer.units().await {
            Ok(observed) => observed,
            Err(error) => {
                let cause = Report::new(&error).to_string();
                tracing::warn!(%cause, "cannot list the units; skipping this round");
                return Ok(());
            }
        };
        if let Some(newest) = self.observer.desired()
            && newest.revision >= self.desired.revision
        {
            self.set_desired(newest).await?;
        }
        self.record_failures(&observed, now);
        let actions = &self.actions;
        let Plan { actions, rows, wake } = diff(&Inputs {
            desired: &self.desired,
            observed: &observed,
            backoff: &self.backoff,
            lingering: &self.lingering,
            gateway: self.gateway,
            busy: &|incarnation| actions.is_busy(incarnation),
            confirmed: self.quorum_check.confirms(self.desired.revision)
                || planted(Bug::StopBeforeConfirmedRead),
            now,
        });
        let wake = wake.into_iter().chain(self.lingering.next_end(now.instant)).min();
        self.next_round = wake.map_or(self.next_round, |wake| wake.min(self.next_round));
        metrics::record_units(&observed, &rows);
        self.loads.send_replace(observed.iter().map(|(id, unit)| (*id, unit.load)).collect());
        actions.into_iter().for_each(|action| self.act(action));
        self.configure(&observed).await;
        self.reporter.report(self.desired.revision, rows);
        metrics::record_round(self.round_started.elapsed());
        Ok(())
    }

    /// Makes `desired` the set that is acted on, once it is durable. If it cannot be stored now, for
    /// lack of descriptors or disk space, the agent acts on the old set and tries again, as if the
    /// new one had not arrived yet.
    async fn set_desired(&mut self, desired: Desired) -> Result<(), RunError> {
        if !self.desired.is_same_set(&desired) {
            let stored = self.store.store(&desired).await;
            match stored.map_err(|source| RunError { path: self.store.path(), source })? {
                Stored::Durable => {}
                Stored::NotBefore(time) => {
                    self.next_round = self.next_round.min(time);
                    return Ok(());
                }
            }
        }
        self.lingering.observe(&self.desired, &desired, Instant::now());
        self.desired = desired;
        Ok(())
    }

    /// Records and logs the failures among the observed units.
    fn record_failures(&mut self, observed: &Observed, now: Moment) {
        let actions = &self.actions;
        let busy = |incarnation| actions.is_busy(incarnation);
        for incarnation in self.backoff.observe(&self.desired, observed, busy, now) {
            self.log_failure(incarnation);
        }
    }

    fn act(&mut self, action: Action) {
        let revision = self.desired.revision;
        match action {
            Action::Start(spec) => {
                let restart = self.backoff.has_failed(spec.incarnation);
                // Above the limit, the completion of another start triggers a new round.
                if !self.actions.can_start(restart) {
                    return;
                }
                tracing::info!(
                    %revision, service = %spec.unit.service, region = %spec.unit.region,
                    slot = spec.unit.slot, incarnation = %spec.incarnation, restart,
                    "starting unit"
                );
                if restart {
                    metrics::count_restart();
                }
                self.actions.start(spec, restart);
            }
            Action::Kill { unit, incarnation } => {
                tracing::warn!(
                    %revision, service = %unit.service, region = %unit.region,
                    slot = unit.slot, %incarnation,
                    "killing a unit that does not respond"
                );
                self.actions.kill(incarnation);
            }
            Action::Stop { unit, incarnation, reason } => {
                tracing::info!(
                    %revision, service = %unit.service, region = %unit.region,
                    slot = unit.slot, %incarnation, ?reason,
                    "stopping unit"
                );
                self.actions.stop(incarnation);
            }
        }
    }

    /// Passes every unit its configuration. The driver ignores a configuration that a unit already
    /// has.
    async fn configure(&self, observed: &Observed) {
        let now = Instant::now();
        for unit in observed.values() {
            let incarnation = &unit.incarnation;
            let Some(newest) = self.desired.configuration(*incarnation) else { continue };
            let lingering = self.lingering.configuration(&unit.unit.service, now);
            let configuration = lingering.unwrap_or(newest);
            let result = self.driver.configure(*incarnation, Arc::clone(configuration)).await;
            if let Err(error) = result {
                let cause = Report::new(&error).to_string();
                tracing::warn!(%incarnation, %cause, "cannot configure the unit");
            }
        }
    }

    /// Returns when another round is due.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.observer.changed() => {}
            completed = self.actions.next() => self.record_completion(completed),
            () = self.reporter.completed() => {}
            () = self.quorum_check.completed() => {}
            () = sleep_until(self.next_round) => {}
        }
        sleep_until(self.round_started + MIN_INTERVAL).await;
        while let Some(completed) = self.actions.try_next() {
            self.record_completion(completed);
        }
    }

    fn record_completion(&mut self, completed: Completed) {
        match completed {
            Completed::Started(incarnation) => self.backoff.started(incarnation),
            Completed::NotStarted(incarnation, cause) => {
                self.backoff.failed(incarnation, cause, Moment::now());
                self.log_failure(incarnation);
            }
            Completed::Stopped(_) => {}
        }
    }

    fn log_failure(&self, incarnation: Incarnation) {
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
            "unit failed"
        );
    }

    /// Drains all units, and returns when the last one has exited.
    async fn drain_all(&mut self) {
        tracing::warn!(
            revision = %self.desired.revision,
            "the cluster removed this agent; draining all units"
        );
        // A start in progress could otherwise complete after the last listing.
        self.actions.wait_all().await;
        while let Err(error) = stop_all(&*self.driver).await {
            tracing::warn!(cause = %Report::new(&error), "cannot stop the units; retrying");
            sleep(RETRY_DELAY).await;
        }
    }
}
