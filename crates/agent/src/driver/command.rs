//! The command driver: each unit is a process of any program, started from a template.
//!
//! ```text
//! start:  port free -> files -> sync intent -> lock -> spawn with the lock -> probe   (... Ready)
//! stop:   close the driver's socket if last unit -> stop signal -> exit -> delete files
//! open:   lock held -> adopt the unit and its socket; lock free -> delete its files
//! ```
//!
//! The modules `run_directory` and `files` describe the files. The module `process` explains why a
//! crash at any point leaves no surplus unit. Start reading at [`CommandTemplate`]; `nginx` is the
//! tested example.
//!
//! Unlike a built-in unit, a program does not know the agent's generation. Only the lock of the
//! agent's data directory prevents an earlier process run from stopping units of a later one.

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use meridian_domain::{AgentName, ClusterId, Configuration, Generation, Incarnation, Revision};

use super::launch::Launch;
use super::limits::explain_spawn_error;
use super::run_directory::{Intent, Lock};
use super::table::{ListenerKey, TargetState};
use super::units::Units;
use super::{Exit, ExitStatus, Phase, StartError, UnitLimits, UnitSpec, UnitUser, blocking};

mod adopt;
mod checked;
mod files;
mod nginx;
mod pattern;
mod plan;
mod probe;
mod process;
mod render;
mod supervise;
mod template;

pub use checked::{CommandTemplates, TemplateError};
pub use nginx::UnsupportedBackend;
pub use pattern::UnknownPlaceholder;
pub use render::RenderError;
pub use template::{
    CommandTemplate, ConfigFileTemplate, ListenerSource, Probe, ProbeAddress, Reload, SignalName,
};

use plan::Plan;
use process::{MainProcess, SpawnOptions};
use supervise::Supervisor;

/// Configuration of the command driver.
#[derive(Debug, Clone)]
pub struct CommandConfig {
    /// Id of the cluster. Units of another cluster are ignored.
    pub cluster: ClusterId,
    /// Name of this agent.
    pub agent: AgentName,
    /// Generation of this process run, from [`crate::generation::raise`].
    pub generation: Generation,
    /// Path of the run directory. Created if its parent exists.
    pub directory: PathBuf,
    /// Address that gateways listen on.
    pub gateway: IpAddr,
    /// Templates of the programs to run.
    pub templates: CommandTemplates,
    /// User of the programs, if it is another one than that of this process, which is root then.
    pub user: Option<UnitUser>,
    /// Limits of each unit. A program applies only those that it supports.
    pub limits: UnitLimits,
}

/// The command driver. Clones share their units. Dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct CommandDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    templates: CommandTemplates,
    user: Option<UnitUser>,
    units: Arc<Units>,
}

#[async_trait]
impl Launch for CommandDriver {
    fn units(&self) -> &Arc<Units> {
        &self.inner.units
    }

    async fn launch(&self, spec: UnitSpec) -> Result<(), StartError> {
        let inner = &self.inner;
        let units = &inner.units;
        let incarnation = spec.incarnation;
        let intent = units.intent(&spec);
        let configuration = spec.configuration;
        if inner.templates.of(&intent.unit).is_none() {
            return Err(StartError::NoTemplate { unit: intent.unit });
        }
        let record_error = |error| units.record_error(incarnation, error);
        while units.clear(incarnation, false).await.map_err(record_error)? == Lock::Held {
            if let Some(main_process) =
                inner.main_process(incarnation).await.map_err(record_error)?
            {
                tracing::warn!(%incarnation, "adopted a running unit that was not in the table");
                inner.adopt(&intent, main_process, Some(configuration));
                return Ok(());
            }
            inner.kill_remaining(incarnation).await;
        }
        let plan = inner.plan(&intent, false);
        let listener = inner.listener(&plan, &intent.listener_key()).await?;
        let main_process = inner.spawn(&intent, &plan, listener.clone(), &configuration).await?;
        tracing::info!(
            unit = %intent.unit, %incarnation, address = %intent.address,
            "unit spawned"
        );
        if let Some(listener) = listener {
            units.change(|table| table.insert_listener(intent.listener_key(), listener));
        }
        let configured = Some(Arc::clone(&configuration));
        let target = TargetState { configuration: configured, ..TargetState::default() };
        let target = units.insert(&intent, Some(main_process.pid), Revision::default(), target);
        let inner = Arc::clone(inner);
        let supervisor =
            Supervisor::started(inner, incarnation, plan, main_process, target, configuration);
        self.inner.spawn_supervisor(supervisor);
        Ok(())
    }
}

impl Inner {
    fn plan(&self, intent: &Intent, is_adopted: bool) -> Arc<Plan> {
        let template = self.templates.of(&intent.unit).cloned();
        if is_adopted && template.is_none() {
            tracing::warn!(unit = %intent.unit, "no template matches this running unit");
        }
        let user =
            if is_adopted { self.units.run.program_user(intent.incarnation) } else { self.user };
        Arc::new(Plan::new(template, intent, &self.units.context.agent, &self.units.run, user))
    }

    /// Returns the listening socket for the program to inherit. For a program that opens its own,
    /// only checks that the port is free, so that an error can name the process that holds it.
    async fn listener(
        &self,
        plan: &Plan,
        key: &ListenerKey,
    ) -> Result<Option<Arc<TcpListener>>, StartError> {
        match plan.template.listener {
            ListenerSource::Inherited => self.units.listener(key).await.map(Some),
            ListenerSource::Own => self.units.probe(key).await.map(|()| None),
        }
    }

    /// Makes the intent durable and takes the lock, then spawns the program.
    async fn spawn(
        self: &Arc<Self>,
        intent: &Intent,
        plan: &Arc<Plan>,
        listener: Option<Arc<TcpListener>>,
        configuration: &Configuration,
    ) -> Result<MainProcess, StartError> {
        let incarnation = intent.incarnation;
        let text = plan
            .render(configuration, &self.units.context.limits)
            .map_err(|source| StartError::Configuration { incarnation, source })?;
        let (inner, intent, plan) = (Arc::clone(self), intent.clone(), Arc::clone(plan));
        blocking(move || {
            let spawned = inner.prepare(&intent, &plan, text.as_deref()).and_then(|(lock, log)| {
                let options = SpawnOptions {
                    invocation: &plan.template.start,
                    environment: plan.environment(),
                    values: plan.values(),
                    directory: &plan.files.program_directory(),
                    user: plan.files.user(),
                    lock,
                    listener: listener.as_deref(),
                    log,
                };
                let spawned = MainProcess::spawn(options);
                spawned.map_err(|source| {
                    let run = inner.units.run.path();
                    let source = explain_spawn_error(inner.user, run, source);
                    StartError::Spawn { program: plan.program(), source }
                })
            });
            if spawned.is_err()
                && let Err(error) = inner.units.run.clear(incarnation, true)
            {
                tracing::warn!(
                    %incarnation, %error,
                    "cannot delete the files of a unit that was not spawned"
                );
            }
            spawned
        })
        .await
    }

    /// Writes the unit's files before the spawn. Returns its lock and its log.
    fn prepare(
        &self,
        intent: &Intent,
        plan: &Plan,
        text: Option<&str>,
    ) -> Result<(std::fs::File, std::fs::File), StartError> {
        let incarnation = intent.incarnation;
        let prepared = || {
            plan.files.create()?;
            if let Some(text) = text {
                plan.files.stage(text)?;
                plan.files.commit()?;
            }
            self.units.run.record(intent)?;
            Ok((self.units.run.take_lock(incarnation)?, self.units.run.log(incarnation)?))
        };
        prepared().map_err(|error| self.units.record_error(incarnation, error))
    }

    fn spawn_supervisor(&self, supervisor: Supervisor) {
        tokio::spawn(supervisor.run());
    }

    /// Records that a unit is ready.
    fn mark_ready(&self, incarnation: Incarnation) {
        self.transition(incarnation, |phase| match phase {
            Phase::Starting | Phase::Unresponsive | Phase::Unhealthy(_) => Some(Phase::Ready),
            Phase::Ready | Phase::Draining | Phase::Exited(_) => None,
        });
    }

    /// Records a failed probe. `next` is the phase of the unit after a series of them.
    fn mark_not_ready(&self, incarnation: Incarnation, next: Option<Phase>) {
        self.transition(incarnation, |phase| match phase {
            Phase::Ready => Some(Phase::Starting),
            Phase::Starting | Phase::Unresponsive | Phase::Unhealthy(_) => next,
            Phase::Draining | Phase::Exited(_) => None,
        });
    }

    fn transition(&self, incarnation: Incarnation, next: impl FnOnce(&Phase) -> Option<Phase>) {
        let phase = self.units.table().unit(incarnation).map(|unit| unit.phase.clone());
        let next = phase.as_ref().and_then(next).filter(|next| Some(next) != phase.as_ref());
        if let Some(next) = next {
            self.units.change(|table| table.update(incarnation, |unit| unit.phase = next));
        }
    }

    /// Records the configuration that a unit serves.
    fn record_configuration(&self, incarnation: Incarnation, revision: Revision) {
        tracing::info!(%incarnation, configuration = %revision, "configuration in effect");
        self.units.change(|table| {
            table.update(incarnation, |unit| {
                unit.configuration = revision;
                unit.refused = None;
            });
        });
    }

    /// Records the exit of a unit's main process, after killing its other processes.
    async fn handle_exit(self: &Arc<Self>, incarnation: Incarnation, status: ExitStatus) {
        self.mark_not_ready(incarnation, None);
        self.kill_remaining(incarnation).await;
        let stopped = self.units.table().is_stopping(incarnation);
        let output_tail = if stopped { None } else { self.units.run.output_tail(incarnation) };
        self.units.handle_exit(incarnation, Exit { status, output_tail }).await;
    }
}
