//! One task for each unit: it asks whether the program serves, passes orders on, and sees it end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation, Revision};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Inner;
use super::checked::CheckedReload;
use super::plan::Plan;
use super::probe::{self, ProbeError};
use super::process::Leader;
use super::render::RenderError;
use crate::driver::run_directory::Lock;
use crate::driver::table::Orders;
use crate::driver::{ExitStatus, blocking, reached};

/// For a new program to serve.
const START_LIMIT: Duration = Duration::from_secs(20);
/// For a program that reloads to serve what it was told.
const RELOAD_LIMIT: Duration = Duration::from_secs(15);
/// A program that reloads by starting new processes answers from old ones too for a moment. It serves
/// the new configuration once it has answered from nothing else for so long.
const SETTLE: Duration = Duration::from_millis(300);
/// Between two questions meanwhile.
const SETTLE_PAUSE: Duration = Duration::from_millis(10);
/// Between two questions to a program that serves.
const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Without an answer: no longer put down to a busy machine.
const SILENCE: Duration = Duration::from_secs(9);
/// Between two questions to one that does not: doubled from the first to the second.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// The watch over one unit.
pub(super) struct Supervisor {
    inner: Arc<Inner>,
    incarnation: Incarnation,
    plan: Arc<Plan>,
    leader: Leader,
    orders: watch::Receiver<Orders>,
    /// What the program was told to serve last. Not known of one that was found.
    told: Option<Arc<Configuration>>,
    /// What it is about to serve.
    awaited: Option<Awaited>,
    next_question: Instant,
    pause: Duration,
    last_answer: Instant,
    /// When it is killed: because it does not serve, or does not end.
    deadline: Option<Instant>,
    answered: bool,
    draining: bool,
    /// It was killed before it ever served.
    given_up: bool,
}

/// A configuration that a program was told to serve, and has not been seen to.
struct Awaited {
    revision: Revision,
    /// What it answers once it does.
    answer: String,
    /// For how long it must have answered so.
    settle: Duration,
    /// Since when it has.
    since: Option<Instant>,
    /// When it is given up. It then serves what it served.
    limit: Option<Instant>,
}

/// Why a program was not told to serve a configuration.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Supervisor {
    /// Watches a program that was just started to serve `configuration`.
    pub(super) fn of_started(
        inner: Arc<Inner>,
        incarnation: Incarnation,
        plan: Arc<Plan>,
        leader: Leader,
        orders: watch::Receiver<Orders>,
        configuration: Arc<Configuration>,
    ) -> Self {
        let awaited = Awaited {
            revision: configuration.revision,
            answer: plan.answer(&configuration),
            settle: Duration::ZERO,
            since: None,
            limit: None,
        };
        Self {
            told: Some(configuration),
            awaited: Some(awaited),
            deadline: Some(Instant::now() + START_LIMIT),
            ..Self::of_found(inner, incarnation, plan, leader, orders)
        }
    }

    /// Watches a program of an earlier life of the agent.
    pub(super) fn of_found(
        inner: Arc<Inner>,
        incarnation: Incarnation,
        plan: Arc<Plan>,
        leader: Leader,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        // Told to end in an earlier life, it is not told again: to some programs that means to hurry.
        let draining = orders.borrow().stop;
        let deadline = draining.then(|| Instant::now() + plan.template.drain_limit);
        Self {
            inner,
            incarnation,
            plan,
            leader,
            orders,
            told: None,
            awaited: None,
            next_question: Instant::now(),
            pause: RETRY_PAUSES.0,
            last_answer: Instant::now(),
            deadline,
            answered: false,
            draining,
            given_up: false,
        }
    }

    /// Watches until the unit has ended, and notes how.
    pub(super) async fn run(mut self) {
        let status = loop {
            if let Some(status) = self.step().await {
                break status;
            }
        };
        let status = if self.given_up { ExitStatus::NeverAnswered } else { status };
        self.inner.ended(self.incarnation, status).await;
    }

    /// Waits for one thing to happen and deals with it; how the first process ended, if it did.
    async fn step(&mut self) -> Option<ExitStatus> {
        let deadline = self.deadline;
        tokio::select! {
            status = self.leader.ended() => return Some(status),
            Ok(()) = self.orders.changed() => self.obey().await,
            () = reached(deadline) => self.kill().await,
            () = sleep_until(self.next_question), if !self.draining => self.ask().await,
        }
        None
    }

    /// Passes on what the unit is to do, as far as it was not told yet.
    async fn obey(&mut self) {
        if self.orders.borrow_and_update().stop {
            self.drain().await;
            return;
        }
        let wanted = self.orders.borrow().configuration.clone();
        // Before it serves, a program may not have come to handle a signal yet, and die of it.
        let Some(wanted) = wanted.filter(|wanted| self.told.as_ref() != Some(wanted)) else {
            return;
        };
        if !self.answered {
            return;
        }
        self.told = Some(Arc::clone(&wanted));
        if let Err(error) = self.tell(&wanted).await {
            let (incarnation, revision) = (self.incarnation, wanted.revision);
            tracing::error!(%incarnation, configuration = %revision, %error, "not served");
        }
    }

    /// Has the program serve a configuration.
    async fn tell(&mut self, wanted: &Configuration) -> Result<(), TellError> {
        let plan = Arc::clone(&self.plan);
        let text = plan.render(wanted, &self.inner.units.premises.limits)?;
        let Some(reload) = &plan.template.reload else {
            if text.is_some() {
                let incarnation = self.incarnation;
                tracing::warn!(%incarnation, "it cannot reload: it is to be started anew (unit roll)");
            } else {
                self.served(wanted.revision).await;
            }
            return Ok(());
        };
        if let Some(text) = text {
            let (files, revision) = (plan.files.clone(), wanted.revision);
            let staged = blocking(move || {
                let is_served = files.has(&text) && files.served() == Some(revision);
                if is_served { Ok(None) } else { files.stage(&text).map(Some) }
            });
            let Some(staged) = staged.await? else { return Ok(()) };
            plan.check(&staged).await?;
            let files = plan.files.clone();
            blocking(move || files.commit()).await?;
        }
        match reload {
            CheckedReload::Signal(signal) => self.leader.signal(*signal),
            CheckedReload::Command(invocation) => plan.run(invocation).await?,
        }
        let now = Instant::now();
        self.awaited = Some(Awaited {
            revision: wanted.revision,
            answer: plan.answer(wanted),
            settle: SETTLE,
            since: None,
            limit: Some(now + RELOAD_LIMIT),
        });
        self.next_question = now;
        Ok(())
    }

    /// Asks the program whether it serves.
    async fn ask(&mut self) {
        let asked = Instant::now();
        let path = self.plan.template.probe_path.as_deref();
        let answer = match probe::ask(&self.plan.target, path).await {
            Ok(answer) => answer,
            Err(error) => return self.note(&error),
        };
        if !self.answered && !self.holds_lock().await {
            let incarnation = self.incarnation;
            tracing::error!(%incarnation, "it has closed its standard input, by which it is found");
            self.next_question = Instant::now() + RETRY_PAUSES.1;
            return;
        }
        self.last_answer = Instant::now();
        self.pause = RETRY_PAUSES.0;
        let starts = self.awaited.as_ref().is_some_and(|awaited| awaited.limit.is_none());
        self.compare(asked, &answer).await;
        if starts && self.awaited.is_some() {
            return;
        }
        self.answered = true;
        if !self.draining {
            self.deadline = None;
        }
        self.inner.serves(self.incarnation);
        self.obey().await;
    }

    /// Compares an answer with the one that is awaited, and sets the time of the next question.
    async fn compare(&mut self, asked: Instant, answer: &str) {
        let now = Instant::now();
        let Some(awaited) = &mut self.awaited else {
            self.next_question = now + CHECK_PERIOD;
            return;
        };
        self.next_question = now + SETTLE_PAUSE;
        let revision = awaited.revision;
        if !answer.contains(&awaited.answer) {
            awaited.since = None;
            if awaited.limit.is_some_and(|limit| now > limit) {
                let incarnation = self.incarnation;
                tracing::error!(%incarnation, configuration = %revision, "not served after a reload");
                self.awaited = None;
            }
        } else if now >= *awaited.since.get_or_insert(asked) + awaited.settle {
            self.awaited = None;
            self.next_question = now + CHECK_PERIOD;
            self.served(revision).await;
        }
    }

    /// Notes what the program serves from now on.
    async fn served(&self, revision: Revision) {
        let files = self.plan.files.clone();
        // Noted first: what the list says once, it says in the agent's next life too.
        if let Err(error) = blocking(move || files.note_served(revision)).await {
            tracing::warn!(incarnation = %self.incarnation, %error, "what it serves is not noted");
        }
        self.inner.configured(self.incarnation, revision);
    }

    /// Draws the conclusion from a question without an answer.
    fn note(&mut self, error: &ProbeError) {
        tracing::debug!(incarnation = %self.incarnation, %error, "does not answer");
        if let Some(awaited) = &mut self.awaited {
            awaited.since = None;
        }
        self.next_question = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(RETRY_PAUSES.1);
        let is_silent = self.last_answer.elapsed() >= SILENCE && self.deadline.is_none();
        self.inner.does_not_serve(self.incarnation, is_silent);
    }

    /// Has the program finish its calls.
    async fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.deadline = Some(Instant::now() + self.plan.template.drain_limit);
        let files = self.plan.files.clone();
        if let Err(error) = blocking(move || files.note_stopping()).await {
            tracing::warn!(incarnation = %self.incarnation, %error, "its stop is not noted");
        }
        self.leader.signal(self.plan.template.stop_signal);
    }

    async fn kill(&mut self) {
        self.deadline = Some(Instant::now() + self.plan.template.drain_limit);
        tracing::warn!(incarnation = %self.incarnation, "killed: it did not serve or end in time");
        self.given_up = !self.answered && !self.draining;
        self.leader.kill();
    }

    /// Whether the next life of the agent would find the program.
    async fn holds_lock(&self) -> bool {
        let (units, incarnation) = (Arc::clone(&self.inner.units), self.incarnation);
        let lock = blocking(move || units.run.lock(incarnation)).await;
        !matches!(lock, Ok(Lock::Free))
    }
}
