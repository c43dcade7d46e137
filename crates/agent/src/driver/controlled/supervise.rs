//! One task for each unit: it holds the connection to it, passes the word to stop on, and sees it
//! end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::control::{CallError, Control, Identity};
use super::traffic::{self, Counted};
use super::{Body, configuration};
use crate::driver::run_directory::Lock;
use crate::driver::table::Orders;
use crate::driver::units::Units;
use crate::driver::{Exit, ExitStatus, Phase, reached};

/// For a new unit to answer. A machine that needs longer to start a process serves nobody.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two questions to a unit that answers: only so is one that hangs told from one that serves.
const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Questions without an answer, one after another, that are no longer put down to a busy machine.
const SILENCES: u32 = 3;
/// Between two attempts to reach a unit: doubled from the first to the second.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// The watch over one unit.
pub(in crate::driver) struct Supervisor<B> {
    units: Arc<Units>,
    incarnation: Incarnation,
    body: B,
    /// The control socket.
    socket: PathBuf,
    /// How long the unit may take to end once it was told to.
    drain_limit: Duration,
    orders: watch::Receiver<Orders>,
    /// What the unit was told to serve over this connection.
    configured: Option<Arc<Configuration>>,
    /// The connection to the unit, kept open because its end is news.
    link: Option<Control>,
    /// What it counted, as far as it has said so.
    counted: Counted,
    /// When it is asked next: for a link where there is none, and whether it still answers else.
    next_attempt: Instant,
    pause: Duration,
    /// Questions without an answer since the last one that had one.
    silences: u32,
    /// When the process is killed: because it does not answer, or does not drain.
    deadline: Option<Instant>,
    answered: bool,
    draining: bool,
    /// It was killed before it ever answered.
    given_up: bool,
    /// It obeys a newer life of the agent, or another agent: not to be killed by this one.
    out_of_reach: bool,
}

impl<B: Body> Supervisor<B> {
    pub(in crate::driver) fn new(
        units: Arc<Units>,
        incarnation: Incarnation,
        body: B,
        socket: PathBuf,
        drain_limit: Duration,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        let now = Instant::now();
        let deadline = body.is_new().then(|| now + START_LIMIT);
        Self {
            units,
            incarnation,
            body,
            socket,
            drain_limit,
            orders,
            configured: None,
            counted: Counted::default(),
            link: None,
            next_attempt: now,
            pause: RETRY_PAUSES.0,
            silences: 0,
            deadline,
            answered: false,
            draining: false,
            given_up: false,
            out_of_reach: false,
        }
    }

    /// Watches until the unit has ended, and notes how.
    pub(in crate::driver) async fn run(mut self) {
        let status = loop {
            if let Some(status) = self.step().await {
                break status;
            }
        };
        let incarnation = self.incarnation;
        let stopped = self.units.table().is_stopping(incarnation);
        let unit = self.units.table().unit(incarnation).map(|unit| unit.unit.clone());
        if let Some(unit) = unit {
            traffic::forget(&unit);
        }
        let how = if self.given_up { ExitStatus::NeverAnswered } else { status };
        let last_words = match stopped {
            true => None,
            false => self.body.last_words(&self.units, incarnation).await,
        };
        self.body.remove().await;
        self.units.ended(incarnation, Exit { how, last_words }).await;
    }

    /// Waits for one thing to happen and deals with it; how the unit ended, if it did.
    async fn step(&mut self) -> Option<ExitStatus> {
        let asks = self.link.is_none() || !self.draining;
        let deadline = self.deadline;
        tokio::select! {
            status = self.body.ended() => {
                if !self.is_locked() || !self.body.is_displaced() {
                    return Some(status);
                }
                self.unlink();
            }
            Ok(()) = self.orders.changed() => self.obey().await,
            () = reached(deadline) => self.kill().await,
            () = ended(&mut self.link) => self.unlink(),
            () = sleep_until(self.next_attempt), if asks => {
                if let Err(error) = self.ask().await {
                    self.note(&error);
                    return self.is_gone().then_some(ExitStatus::Unknown);
                }
            }
        }
        None
    }

    /// Asks the unit whether it still answers, or tries to reach it.
    async fn ask(&mut self) -> Result<(), CallError> {
        match &mut self.link {
            Some(link) => match link.describe().await {
                Ok(identity) => {
                    self.next_attempt = Instant::now() + CHECK_PERIOD;
                    self.units.table().update(self.incarnation, |unit| unit.load = identity.load);
                    self.count().await?;
                }
                // A late answer would be taken for that to the next question.
                Err(error) => {
                    self.unlink();
                    return Err(error);
                }
            },
            None => self.attempt().await?,
        }
        self.silences = 0;
        Ok(())
    }

    /// Asks what the unit counted.
    async fn count(&mut self) -> Result<(), CallError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let said = match link.metrics().await {
            Ok(said) => said,
            Err(error) if error.is_refusal() => return Ok(()),
            Err(error) => {
                self.unlink();
                return Err(error);
            }
        };
        if let Some(unit) = self.units.table().unit(self.incarnation) {
            self.counted.note(&unit.unit, &said);
        }
        Ok(())
    }

    /// Tries to reach the unit, and sets the time of the next attempt.
    async fn attempt(&mut self) -> Result<(), CallError> {
        self.next_attempt = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(RETRY_PAUSES.1);
        self.body.prepare().await?;
        let generation = self.units.premises.generation;
        let mut control = Control::connect(&self.socket, generation).await?;
        if let Some(pid) = control.peer()? {
            let (units, incarnation) = (&self.units, self.incarnation);
            self.body.take_hold(pid, || is_locked(units, incarnation))?;
        }
        let identity = control.describe().await?;
        self.units.check(self.incarnation, &identity)?;
        self.linked(control, identity).await;
        Ok(())
    }

    async fn linked(&mut self, mut control: Control, identity: Identity) {
        let stopping = self.orders.borrow().stop;
        if !identity.draining && !stopping {
            self.units.adopt_listener(&mut control, identity.address).await;
        }
        if !self.draining {
            self.deadline = None;
        }
        self.answered = true;
        self.pause = RETRY_PAUSES.0;
        self.next_attempt = Instant::now() + CHECK_PERIOD;
        self.link = Some(control);
        if identity.draining {
            // Its end was decided elsewhere; it must not be taken for a crash.
            self.units.stop(self.incarnation).await;
        }
        self.units.know(self.incarnation, identity, self.link.as_ref());
        self.obey().await;
    }

    /// Passes on what the unit is to do, as far as it was not told over this connection.
    async fn obey(&mut self) {
        if self.orders.borrow_and_update().stop {
            self.drain().await;
        } else {
            self.configure().await;
        }
    }

    async fn configure(&mut self) {
        let wanted = self.orders.borrow().configuration.clone();
        let (Some(wanted), Some(link)) = (wanted, &mut self.link) else { return };
        if self.configured.as_ref() == Some(&wanted) {
            return;
        }
        let message = configuration::message(&wanted, &self.units.premises.limits);
        match link.configure(message).await {
            Ok(revision) => self.units.serves(self.incarnation, revision),
            // It serves what it served; the same again would be refused again.
            Err(error) if error.is_refusal() => {
                let (incarnation, revision) = (self.incarnation, wanted.revision);
                tracing::error!(%incarnation, configuration = %revision, %error, "not served");
            }
            Err(error) => {
                self.unlink();
                return self.note(&error);
            }
        }
        self.configured = Some(wanted);
    }

    fn unlink(&mut self) {
        self.link = None;
        self.configured = None;
        self.next_attempt = Instant::now();
        self.units.change(|table| {
            table.update(self.incarnation, |unit| {
                if unit.phase == Phase::Ready {
                    unit.phase = Phase::Starting;
                }
            });
        });
    }

    /// Passes the word to stop on; if there is no link yet, [`linked`](Self::linked) does it again.
    async fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            self.deadline = Some(Instant::now() + self.drain_limit);
        }
        if let Some(link) = &mut self.link
            && let Err(error) = link.drain().await
        {
            self.link = None;
            self.note(&error);
        }
    }

    /// Draws the conclusion from a call that failed.
    fn note(&mut self, error: &CallError) {
        let incarnation = self.incarnation;
        if matches!(error, CallError::Silent) {
            self.note_silence();
        }
        if !error.is_final() {
            tracing::debug!(%incarnation, %error, "not reached");
        } else if !self.out_of_reach {
            tracing::error!(%incarnation, %error, "a unit that does not obey is left alone");
            self.out_of_reach = true;
        }
    }

    /// Counts a question without an answer. Where there is a deadline, that decides.
    fn note_silence(&mut self) {
        self.silences = self.silences.saturating_add(1);
        if self.silences < SILENCES || self.deadline.is_some() {
            return;
        }
        self.next_attempt = Instant::now() + CHECK_PERIOD;
        self.units.change(|table| {
            table.update(self.incarnation, |unit| {
                if unit.phase == Phase::Starting {
                    unit.phase = Phase::Silent;
                }
            });
        });
    }

    async fn kill(&mut self) {
        self.deadline = Some(Instant::now() + self.drain_limit);
        if self.out_of_reach {
            return;
        }
        tracing::warn!(incarnation = %self.incarnation, "killed: it did not answer or end in time");
        self.given_up = !self.answered;
        self.body.kill().await;
    }

    /// Whether what was found has ended. The end of the others comes with its status instead.
    fn is_gone(&self) -> bool {
        self.body.is_gone(|| self.is_locked())
    }

    fn is_locked(&self) -> bool {
        is_locked(&self.units, self.incarnation)
    }
}

/// Whether some process is an incarnation, or that cannot be known.
fn is_locked(units: &Units, incarnation: Incarnation) -> bool {
    !matches!(units.run.lock(incarnation), Ok(Lock::Free))
}

/// Returns when the link, if there is one, has ended.
async fn ended(link: &mut Option<Control>) {
    match link {
        Some(control) => control.ended().await,
        None => std::future::pending().await,
    }
}
