//! Supervisor of one unit: a task that holds the control connection, applies the target state, and
//! observes the exit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation, RefusedConfiguration};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::control::{Control, ControlError, Identity};
use super::{Instance, configuration};
use crate::driver::refusal::Refusal;
use crate::driver::run_directory::Lock;
use crate::driver::table::{TargetState, drain_timeout_exceeded};
use crate::driver::units::Units;
use crate::driver::{Exit, ExitStatus, Phase, reached};

mod ending;

/// Timeout for a new unit to respond. A machine that takes longer to start a process cannot serve.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Period of health checks, the only way to distinguish a hung unit from a serving one.
const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Period of the checks of a draining unit, for its last counters.
const DRAIN_CHECK_PERIOD: Duration = Duration::from_millis(500);
/// Consecutive health checks without a response after which a unit counts as unresponsive, and time
/// since its last response. Fewer may be due to a busy machine, a shorter time to a control socket
/// that refuses every attempt immediately.
const UNRESPONSIVE_AFTER: (u32, Duration) = (3, Duration::from_secs(10));
/// First and maximum delay between connection attempts. Each attempt doubles the delay.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Supervisor of one unit.
pub(in crate::driver) struct Supervisor<B> {
    units: Arc<Units>,
    incarnation: Incarnation,
    instance: B,
    /// Path of the control socket.
    socket: PathBuf,
    /// Time that the unit may take to exit after it was stopped.
    drain_timeout: Duration,
    target: watch::Receiver<TargetState>,
    /// Configuration that the unit accepted over this connection.
    configured: Option<Arc<Configuration>>,
    refusal: Refusal,
    /// Connection to the unit. Stays open, because its end signals the exit of the unit.
    connection: Option<Control>,
    /// Time of the next health check, or without a connection, of the next connection attempt.
    next_check: Instant,
    retry_delay: Duration,
    /// Checks without a response since the last response.
    missed_checks: u32,
    last_response: Instant,
    /// Time at which the unit is killed: after the start timeout or the drain timeout.
    deadline: Option<Instant>,
    has_responded: bool,
    draining: bool,
    /// Killed before its first response.
    start_timed_out: bool,
    /// True if it obeys a newer generation of the agent, or another agent. This agent must not kill
    /// it then.
    owned_elsewhere: bool,
}

impl<B: Instance> Supervisor<B> {
    pub(in crate::driver) fn new(
        units: Arc<Units>,
        incarnation: Incarnation,
        instance: B,
        socket: PathBuf,
        drain_timeout: Duration,
        target: watch::Receiver<TargetState>,
    ) -> Self {
        let now = Instant::now();
        let deadline = instance.is_new().then(|| now + START_TIMEOUT);
        Self {
            units,
            incarnation,
            instance,
            socket,
            drain_timeout,
            target,
            configured: None,
            refusal: Refusal::default(),
            connection: None,
            next_check: now,
            retry_delay: RETRY_DELAYS.0,
            missed_checks: 0,
            last_response: now,
            deadline,
            has_responded: false,
            draining: false,
            start_timed_out: false,
            owned_elsewhere: false,
        }
    }

    /// Supervises the unit until it has exited, and records its exit.
    pub(in crate::driver) async fn run(mut self) {
        let status = loop {
            let (deadline, draining) = (self.deadline, self.draining);
            let (target, unacknowledged) = (self.target.clone(), self.acknowledge_timeout());
            // Not in `step`, which waits for responses of the unit.
            tokio::select! {
                biased;
                exited = self.step() => if let Some(status) = exited {
                    break status;
                },
                () = reached(deadline) => self.give_up().await,
                () = drain_timeout_exceeded(target, unacknowledged), if !draining => {
                    self.give_up().await;
                }
            }
        };
        let incarnation = self.incarnation;
        let stopped = self.units.table().is_stopping(incarnation);
        self.units.context.traffic.remove(incarnation);
        let status = if self.start_timed_out { ExitStatus::StartTimeout } else { status };
        let output_tail = match stopped {
            true => None,
            false => self.instance.output_tail(&self.units, incarnation).await,
        };
        self.instance.remove().await;
        self.units.handle_exit(incarnation, Exit { status, output_tail }).await;
    }

    /// Waits for one event and handles it. Returns the exit status if the unit has exited.
    async fn step(&mut self) -> Option<ExitStatus> {
        let retries = self.connection.is_some() && !self.draining;
        let retry = self.refusal.retry().filter(|_| retries);
        tokio::select! {
            status = self.instance.exited() => {
                if !self.is_locked() || !self.instance.switch_to_lock_holder() {
                    return Some(status);
                }
                self.disconnect();
            }
            Ok(()) = self.target.changed() => self.apply_target().await,
            () = reached(retry) => self.configure().await,
            () = closed(&mut self.connection) => self.disconnect(),
            () = sleep_until(self.next_check) => {
                if let Err(error) = self.check().await {
                    self.handle_error(&error);
                    return self.has_exited().then_some(ExitStatus::Unknown);
                }
            }
        }
        None
    }

    /// Checks the unit's health, or tries to connect to it.
    async fn check(&mut self) -> Result<(), ControlError> {
        match &mut self.connection {
            Some(connection) => match connection.describe().await {
                Ok(identity) => {
                    let period = if self.draining { DRAIN_CHECK_PERIOD } else { CHECK_PERIOD };
                    self.next_check = Instant::now() + period;
                    self.units.table().update(self.incarnation, |unit| unit.load = identity.load);
                    self.collect_metrics().await?;
                    self.check_drain(&identity).await;
                }
                // A late response would be read as the response to the next request.
                Err(error) => {
                    self.disconnect();
                    return Err(error);
                }
            },
            None => self.connect().await?,
        }
        self.missed_checks = 0;
        self.last_response = Instant::now();
        Ok(())
    }

    /// Stops a unit that something else has stopped: its exit must not count as a crash.
    async fn check_drain(&self, identity: &Identity) {
        if identity.draining && self.target.borrow().stopped.is_none() {
            tracing::warn!(incarnation = %self.incarnation, "the unit drains without a request");
            self.units.stop(self.incarnation).await;
        }
    }

    /// Collects the unit's counters.
    async fn collect_metrics(&mut self) -> Result<(), ControlError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let metrics = match connection.metrics().await {
            Ok(metrics) => metrics,
            Err(error) if error.is_refusal() => return Ok(()),
            Err(error) => {
                self.disconnect();
                return Err(error);
            }
        };
        let unit = self.units.table().unit(self.incarnation).map(|unit| unit.unit.clone());
        if let Some(unit) = unit {
            self.units.context.traffic.record(self.incarnation, unit, &metrics);
        }
        Ok(())
    }

    /// Tries to connect to the unit, and schedules the next attempt.
    async fn connect(&mut self) -> Result<(), ControlError> {
        self.next_check = Instant::now() + self.retry_delay;
        self.retry_delay = (self.retry_delay * 2).min(RETRY_DELAYS.1);
        self.instance.prepare().await?;
        let generation = self.units.context.generation;
        let mut control = Control::connect(&self.socket, generation).await?;
        if let Some(pid) = control.peer()? {
            let (units, incarnation) = (&self.units, self.incarnation);
            self.instance.attach(pid, || is_locked(units, incarnation))?;
        }
        let identity = control.describe().await?;
        self.units.check_identity(self.incarnation, &identity)?;
        self.connected(control, identity).await;
        Ok(())
    }

    async fn connected(&mut self, mut control: Control, identity: Identity) {
        let stopping = self.target.borrow().stopped.is_some();
        if !identity.draining && !stopping {
            self.units.adopt_listener(&mut control, &identity.unit, identity.address).await;
        }
        if !self.draining {
            self.deadline = None;
        }
        self.has_responded = true;
        self.retry_delay = RETRY_DELAYS.0;
        // At once: the first check reads the counters.
        self.next_check = Instant::now();
        self.connection = Some(control);
        self.check_drain(&identity).await;
        self.units.record_identity(self.incarnation, identity, self.connection.as_ref());
        self.apply_target().await;
    }

    /// Applies the parts of the target state that were not sent over this connection yet.
    async fn apply_target(&mut self) {
        let (kill, stop) = {
            let target = self.target.borrow_and_update();
            (target.kill, target.stopped.is_some())
        };
        if kill {
            self.kill().await;
        } else if stop {
            self.drain().await;
        } else {
            self.configure().await;
        }
    }

    async fn configure(&mut self) {
        let wanted = self.target.borrow().configuration.clone();
        let (Some(wanted), Some(connection)) = (wanted, &mut self.connection) else { return };
        if self.configured.as_ref() == Some(&wanted) {
            return self.refusal.clear();
        }
        if !self.refusal.allows(&wanted) {
            return;
        }
        let message = configuration::message(&wanted, &self.units.context.limits);
        match connection.configure(message).await {
            Ok(revision) => {
                self.units.record_configuration(self.incarnation, revision);
                self.configured = Some(wanted);
                self.refusal.clear();
            }
            Err(error) if error.is_refusal() => {
                self.refusal.record(&wanted);
                let (configuration, cause) = (wanted.revision, error.to_string());
                let refusal = RefusedConfiguration { configuration, cause };
                self.units.record_refusal(self.incarnation, refusal);
            }
            Err(error) => {
                self.disconnect();
                self.handle_error(&error);
            }
        }
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.configured = None;
        self.next_check = Instant::now();
        self.units.change(|table| {
            table.update(self.incarnation, |unit| {
                if unit.phase == Phase::Ready {
                    unit.phase = Phase::Starting;
                }
            });
        });
    }

    /// Handles a failed request or connection attempt.
    fn handle_error(&mut self, error: &ControlError) {
        let incarnation = self.incarnation;
        if error.is_silence() {
            self.record_missed_check();
        }
        if let Some(cause) = error.other_user() {
            self.mark_unhealthy(cause);
        }
        if !error.is_permanent() {
            tracing::debug!(%incarnation, %error, "control request failed");
        } else if !self.owned_elsewhere {
            tracing::error!(%incarnation, %error, "unit controlled by another process; ignoring it");
            self.owned_elsewhere = true;
        }
    }

    /// Records why a unit that runs cannot be controlled.
    fn mark_unhealthy(&self, cause: String) {
        let incarnation = self.incarnation;
        let is_starting = self.units.table().unit(incarnation).map(|it| it.phase.clone())
            == Some(Phase::Starting);
        if is_starting && self.deadline.is_none() {
            tracing::error!(%incarnation, cause, "the unit cannot be controlled");
            self.units.change(|table| {
                table.update(incarnation, |unit| unit.phase = Phase::Unhealthy(cause));
            });
        }
    }

    /// Counts a check without a response. A pending deadline takes precedence over the count.
    fn record_missed_check(&mut self) {
        self.missed_checks = self.missed_checks.saturating_add(1);
        let (checks, time) = UNRESPONSIVE_AFTER;
        let is_recent = self.missed_checks < checks || self.last_response.elapsed() < time;
        if is_recent || self.deadline.is_some() {
            return;
        }
        self.next_check = Instant::now() + CHECK_PERIOD;
        self.units.change(|table| {
            table.update(self.incarnation, |unit| {
                if unit.phase == Phase::Starting {
                    unit.phase = Phase::Unresponsive;
                }
            });
        });
    }

    /// True if an adopted unit has exited. The exit of a spawned one is awaited with its status.
    fn has_exited(&self) -> bool {
        self.instance.has_exited(|| self.is_locked())
    }

    fn is_locked(&self) -> bool {
        is_locked(&self.units, self.incarnation)
    }
}

/// True if a process of an incarnation runs, or if that cannot be determined.
fn is_locked(units: &Units, incarnation: Incarnation) -> bool {
    !matches!(units.run.lock(incarnation), Ok(Lock::Free))
}

/// Returns when the connection is closed. Pends forever without one.
async fn closed(connection: &mut Option<Control>) {
    match connection {
        Some(control) => control.closed().await,
        None => std::future::pending().await,
    }
}
