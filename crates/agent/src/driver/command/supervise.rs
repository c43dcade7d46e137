//! Supervisor of one unit: a task that probes the program, applies the target state, and observes
//! the exit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation, RefusedConfiguration, Revision};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Inner;
use super::checked::CheckedReload;
use super::plan::Plan;
use super::probe::{self, ProbeError};
use super::process::MainProcess;
use super::render::RenderError;
use crate::driver::refusal::Refusal;
use crate::driver::run_directory::Lock;
use crate::driver::table::{TargetState, drain_timeout_exceeded};
use crate::driver::{ExitStatus, blocking, reached};

/// Timeout for a new program to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout for a reload to take effect.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for which every response must show the new configuration before a reload counts as
/// complete. A program that reloads by starting new processes also responds from old ones for a
/// moment.
const SETTLE_TIME: Duration = Duration::from_millis(300);
/// Delay between probes during that time.
const SETTLE_DELAY: Duration = Duration::from_millis(10);
/// Period of health probes.
const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Time without a successful probe after which a unit counts as unresponsive. A shorter time may be
/// due to a busy machine.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(9);
/// First and maximum delay after a failed probe. Each failure doubles the delay.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Supervisor of one unit.
pub(super) struct Supervisor {
    inner: Arc<Inner>,
    incarnation: Incarnation,
    plan: Arc<Plan>,
    main_process: MainProcess,
    target: watch::Receiver<TargetState>,
    /// Configuration last applied to the program. `None` for an adopted unit until the agent sets
    /// it.
    applied: Option<Arc<Configuration>>,
    refusal: Refusal,
    /// Configuration applied but not yet confirmed by probes.
    pending: Option<PendingConfiguration>,
    next_probe: Instant,
    retry_delay: Duration,
    last_response: Instant,
    /// Time at which the unit is killed: after the start timeout or the drain timeout.
    deadline: Option<Instant>,
    has_been_ready: bool,
    draining: bool,
    /// Killed before it was ever ready.
    start_timed_out: bool,
}

/// A configuration that was applied to a program but is not confirmed by probes yet.
struct PendingConfiguration {
    revision: Revision,
    /// Text that responses contain once the program serves it.
    expected_body: String,
    /// Time for which every response must contain the text.
    settle_time: Duration,
    /// Time since which every response has contained it.
    matching_since: Option<Instant>,
    /// Time at which the reload counts as failed. `None` for the initial configuration, which is
    /// bounded by the start timeout.
    deadline: Option<Instant>,
}

/// Error of a reload.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no template matches the unit: add a [[template]] for its service or region")]
    NoTemplate,
    #[error("its template has no `reload`: replace the unit with `meridian unit roll`")]
    NoReload,
    #[error("not served within {RELOAD_TIMEOUT:?} of the reload")]
    Timeout,
}

impl Supervisor {
    /// Supervises a program that was just spawned with `configuration`.
    pub(super) fn started(
        inner: Arc<Inner>,
        incarnation: Incarnation,
        plan: Arc<Plan>,
        main_process: MainProcess,
        target: watch::Receiver<TargetState>,
        configuration: Arc<Configuration>,
    ) -> Self {
        let pending = PendingConfiguration {
            revision: configuration.revision,
            expected_body: plan.expected_body(&configuration),
            settle_time: Duration::ZERO,
            matching_since: None,
            deadline: None,
        };
        Self {
            applied: Some(configuration),
            pending: Some(pending),
            deadline: Some(Instant::now() + START_TIMEOUT),
            ..Self::adopted(inner, incarnation, plan, main_process, target)
        }
    }

    /// Supervises a program of an earlier process run of the agent.
    pub(super) fn adopted(
        inner: Arc<Inner>,
        incarnation: Incarnation,
        plan: Arc<Plan>,
        main_process: MainProcess,
        target: watch::Receiver<TargetState>,
    ) -> Self {
        // A program that already received a stop signal from an earlier process run gets no second
        // one: some programs would skip their drain.
        let draining = target.borrow().stopped.is_some();
        let deadline = draining.then(|| Instant::now() + plan.template.drain_timeout);
        Self {
            inner,
            incarnation,
            plan,
            main_process,
            target,
            applied: None,
            refusal: Refusal::default(),
            pending: None,
            next_probe: Instant::now(),
            retry_delay: RETRY_DELAYS.0,
            last_response: Instant::now(),
            deadline,
            has_been_ready: false,
            draining,
            start_timed_out: false,
        }
    }

    /// Supervises the unit until it has exited, and records its exit.
    pub(super) async fn run(mut self) {
        let status = loop {
            let (deadline, draining) = (self.deadline, self.draining);
            let (target, drain_timeout) = (self.target.clone(), self.plan.template.drain_timeout);
            // Not in `step`, which waits for responses of the unit.
            tokio::select! {
                biased;
                exited = self.step() => if let Some(status) = exited {
                    break status;
                },
                () = reached(deadline) => self.give_up(),
                () = drain_timeout_exceeded(target, drain_timeout), if !draining => self.give_up(),
            }
        };
        let status = if self.start_timed_out { ExitStatus::StartTimeout } else { status };
        self.inner.handle_exit(self.incarnation, status).await;
    }

    /// Waits for one event and handles it. Returns the exit status if the main process has exited.
    async fn step(&mut self) -> Option<ExitStatus> {
        // An attempt in progress, or a newer configuration, needs no retry.
        let retries = self.applied.is_none() && self.has_been_ready && !self.draining;
        let retry = self.refusal.retry().filter(|_| retries);
        tokio::select! {
            status = self.main_process.exited() => return Some(status),
            Ok(()) = self.target.changed() => self.apply_target().await,
            () = reached(retry) => self.apply_target().await,
            () = sleep_until(self.next_probe), if !self.draining => self.probe().await,
        }
        None
    }

    /// Applies the parts of the target state that were not applied yet.
    async fn apply_target(&mut self) {
        let (kill, stop, wanted) = {
            let target = self.target.borrow_and_update();
            (target.kill, target.stopped.is_some(), target.configuration.clone())
        };
        if kill {
            return self.kill();
        }
        if stop {
            return self.drain().await;
        }
        let Some(wanted) = wanted.filter(|wanted| self.applied.as_ref() != Some(wanted)) else {
            return;
        };
        // Before it is ready, a program may not handle signals yet, and a signal would kill it.
        if !self.has_been_ready || !self.refusal.allows(&wanted) {
            return;
        }
        self.applied = Some(Arc::clone(&wanted));
        if let Err(error) = self.reload(&wanted).await {
            self.refuse(&wanted, &error);
        }
    }

    /// Records that the program does not serve a configuration, and schedules the next attempt.
    fn refuse(&mut self, wanted: &Arc<Configuration>, error: &ReloadError) {
        self.applied = None;
        self.refusal.record(wanted);
        let (configuration, cause) = (wanted.revision, error.to_string());
        let refusal = RefusedConfiguration { configuration, cause };
        self.inner.units.record_refusal(self.incarnation, refusal);
    }

    /// Makes the program serve a configuration.
    async fn reload(&mut self, wanted: &Configuration) -> Result<(), ReloadError> {
        let plan = Arc::clone(&self.plan);
        let text = plan.render(wanted, &self.inner.units.context.limits)?;
        let (files, revision, has_template) =
            (plan.files.clone(), wanted.revision, plan.has_template);
        let rendered = text.clone();
        let is_served = blocking(move || {
            let same = !has_template || rendered.is_some_and(|text| files.configuration_is(&text));
            same && files.served() == Some(revision)
        });
        if is_served.await {
            return Ok(());
        }
        if !has_template {
            return Err(ReloadError::NoTemplate);
        }
        let Some(reload) = &plan.template.reload else {
            return match text {
                Some(_) => Err(ReloadError::NoReload),
                None => {
                    self.record_served(wanted.revision).await;
                    Ok(())
                }
            };
        };
        if let Some(text) = text {
            let files = plan.files.clone();
            let staged = blocking(move || files.stage(&text)).await?;
            plan.check(&staged).await?;
            let files = plan.files.clone();
            blocking(move || files.commit()).await?;
        }
        match reload {
            CheckedReload::Signal(signal) => self.main_process.signal(*signal),
            CheckedReload::Command(invocation) => plan.run(invocation).await?,
        }
        let now = Instant::now();
        self.pending = Some(PendingConfiguration {
            revision: wanted.revision,
            expected_body: plan.expected_body(wanted),
            settle_time: SETTLE_TIME,
            matching_since: None,
            deadline: Some(now + RELOAD_TIMEOUT),
        });
        self.next_probe = now;
        Ok(())
    }

    /// Probes the program once and handles the result.
    async fn probe(&mut self) {
        let started = Instant::now();
        let path = self.plan.template.probe_path.as_deref();
        let body = match probe::probe(&self.plan.probe_target, path).await {
            Ok(body) => body,
            Err(error) => return self.handle_error(&error),
        };
        if !self.has_been_ready && !self.holds_lock().await {
            let incarnation = self.incarnation;
            tracing::error!(
                %incarnation,
                "the program closed its standard input, which holds its lock; not ready"
            );
            self.next_probe = Instant::now() + RETRY_DELAYS.1;
            return;
        }
        self.last_response = Instant::now();
        self.retry_delay = RETRY_DELAYS.0;
        let is_starting = self.pending.as_ref().is_some_and(|pending| pending.deadline.is_none());
        self.check_pending(started, &body).await;
        if is_starting && self.pending.is_some() {
            return;
        }
        self.has_been_ready = true;
        if !self.draining {
            self.deadline = None;
        }
        self.inner.mark_ready(self.incarnation);
        self.apply_target().await;
    }

    /// Checks a response against the pending configuration, and schedules the next probe. `started`
    /// is the start of the probe.
    async fn check_pending(&mut self, started: Instant, body: &str) {
        let now = Instant::now();
        let Some(pending) = &mut self.pending else {
            self.next_probe = now + CHECK_PERIOD;
            return;
        };
        self.next_probe = now + SETTLE_DELAY;
        let revision = pending.revision;
        if !body.contains(&pending.expected_body) {
            pending.matching_since = None;
            self.check_reload_deadline(now);
        } else if now >= *pending.matching_since.get_or_insert(started) + pending.settle_time {
            self.pending = None;
            self.next_probe = now + CHECK_PERIOD;
            self.record_served(revision).await;
        }
    }

    /// Refuses the pending configuration if the reload took too long.
    fn check_reload_deadline(&mut self, now: Instant) {
        let deadline = self.pending.as_ref().and_then(|pending| pending.deadline);
        if deadline.is_some_and(|deadline| now > deadline) {
            self.pending = None;
            if let Some(applied) = self.applied.clone() {
                self.refuse(&applied, &ReloadError::Timeout);
            }
        }
    }

    /// Records the revision that the program serves.
    async fn record_served(&mut self, revision: Revision) {
        self.refusal.clear();
        let files = self.plan.files.clone();
        // On disk first, so that a revision shown in the list is also shown after a restart.
        if let Err(error) = blocking(move || files.record_served(revision)).await {
            let incarnation = self.incarnation;
            tracing::warn!(%incarnation, %error, "cannot record the served revision");
        }
        self.inner.record_configuration(self.incarnation, revision);
    }

    /// Handles a failed probe.
    fn handle_error(&mut self, error: &ProbeError) {
        tracing::debug!(incarnation = %self.incarnation, %error, "probe failed");
        if let Some(pending) = &mut self.pending {
            pending.matching_since = None;
        }
        self.check_reload_deadline(Instant::now());
        self.next_probe = Instant::now() + self.retry_delay;
        self.retry_delay = (self.retry_delay * 2).min(RETRY_DELAYS.1);
        let is_long = self.last_response.elapsed() >= UNRESPONSIVE_AFTER;
        let next = if is_long && self.deadline.is_none() { error.phase() } else { None };
        self.inner.mark_not_ready(self.incarnation, next);
    }

    /// Starts the drain: the program finishes its requests in flight and exits.
    async fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        let stopped = self.target.borrow().stopped.unwrap_or_else(Instant::now);
        self.deadline = Some(stopped + self.plan.template.drain_timeout);
        let files = self.plan.files.clone();
        if let Err(error) = blocking(move || files.record_stopping()).await {
            tracing::warn!(incarnation = %self.incarnation, %error, "cannot record the stop");
        }
        self.main_process.signal(self.plan.template.stop_signal);
    }

    /// Kills a program that has exceeded its start timeout or drain timeout.
    fn give_up(&mut self) {
        let incarnation = self.incarnation;
        tracing::warn!(%incarnation, "start or drain timeout exceeded; killing unit");
        self.start_timed_out = !self.has_been_ready && !self.draining;
        self.kill();
    }

    fn kill(&mut self) {
        self.draining |= self.target.borrow().stopped.is_some();
        self.deadline = Some(Instant::now() + self.plan.template.drain_timeout);
        self.main_process.kill();
    }

    /// True if a restarted agent would find the program by its lock, or if that cannot be
    /// determined.
    async fn holds_lock(&self) -> bool {
        let (units, incarnation) = (Arc::clone(&self.inner.units), self.incarnation);
        let lock = blocking(move || units.run.lock(incarnation)).await;
        !matches!(lock, Ok(Lock::Free))
    }
}
