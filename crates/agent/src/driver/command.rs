//! The command driver: each unit is a process of any program, started as a template says.
//!
//! ```text
//! start:  port -> files -> intent synced -> locked -> spawned with the lock -> probe   (... Ready)
//! stop:   own duplicate of the socket closed if the last -> stop signal -> it ends -> files deleted
//! open:   lock held -> found by the lock, its socket taken over; lock free -> delete what it left
//! ```
//!
//! What is on disk is described in `run_directory` and `files`; why a crash anywhere leaves no unit too
//! many, in `process`. Start with [`CommandTemplate`]; `nginx` is the example that is tested.
//!
//! Unlike a built-in unit, a program does not know the agent's generation: nothing but the lock of the
//! agent's data directory keeps an earlier life from stopping what a later one started.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use meridian_domain::{AgentName, ClusterId, Configuration, Generation, Incarnation, Revision};

use super::launch::Launch;
use super::run_directory::{Intent, Lock};
use super::table::Orders;
use super::units::Units;
use super::{Exit, ExitStatus, Phase, StartError, UnitLimits, UnitSpec, blocking, listen};

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
pub use nginx::UnservedError;
pub use pattern::UnknownPlaceholder;
pub use render::RenderError;
pub use template::{
    CommandTemplate, ConfigFileTemplate, ListenerSource, Probe, ProbeAddress, Reload, SignalName,
};

use checked::Template;
use plan::Plan;
use process::{Leader, Start};
use supervise::Supervisor;

/// What the driver has to know.
#[derive(Debug, Clone)]
pub struct CommandConfig {
    /// The cluster: units of another one are left alone.
    pub cluster: ClusterId,
    /// This agent.
    pub agent: AgentName,
    /// This life of it, from [`crate::generation::raise`].
    pub generation: Generation,
    /// The run directory. Created where its parent exists.
    pub directory: PathBuf,
    /// The address that gateways listen on.
    pub gateway: IpAddr,
    /// What is run for each unit.
    pub templates: CommandTemplates,
    /// What each unit takes on, as far as its program can be told.
    pub limits: UnitLimits,
}

/// The command driver. Clones are handles to the same one; dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct CommandDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    templates: CommandTemplates,
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
        let unrecorded = |error| units.unrecorded(incarnation, error);
        while units.clear(incarnation, false).await.map_err(unrecorded)? == Lock::Held {
            if let Some(leader) = inner.leader(incarnation).await.map_err(unrecorded)? {
                tracing::warn!(%incarnation, "runs already, though nothing was known of it: adopted");
                inner.adopt(&intent, leader, Some(configuration));
                return Ok(());
            }
            inner.end_rest(incarnation).await;
        }
        let plan = inner.plan(&intent, false);
        let listener = inner.listener(&plan, intent.address).await?;
        let leader = inner.spawn(&intent, &plan, listener.clone(), &configuration).await?;
        tracing::info!(unit = %intent.unit, %incarnation, address = %intent.address, "started");
        if let Some(listener) = listener {
            units.change(|table| table.keep_listener(intent.address, listener));
        }
        let orders = Orders { stop: false, configuration: Some(Arc::clone(&configuration)) };
        let orders = units.insert(&intent, Some(leader.pid), Revision::default(), orders);
        let inner = Arc::clone(inner);
        let supervisor =
            Supervisor::of_started(inner, incarnation, plan, leader, orders, configuration);
        self.inner.watch(supervisor);
        Ok(())
    }
}

impl Inner {
    fn plan(&self, intent: &Intent, is_found: bool) -> Arc<Plan> {
        let template = self.templates.of(&intent.unit).cloned().unwrap_or_else(|| {
            if is_found {
                tracing::warn!(unit = %intent.unit, "there is no template for it any more");
            }
            Template::forgotten()
        });
        Arc::new(Plan::new(template, intent, &self.units.premises.agent, &self.units.run))
    }

    /// The listening socket that the program is to inherit, if it is; otherwise, whether its port is
    /// free is found out while somebody can still say who has it.
    async fn listener(
        &self,
        plan: &Plan,
        address: SocketAddr,
    ) -> Result<Option<Arc<TcpListener>>, StartError> {
        match plan.template.listener {
            ListenerSource::Inherited => self.units.listener(address).await.map(Some),
            ListenerSource::Own => listen::probe(address).await.map(|()| None),
        }
    }

    /// Makes the intent durable and takes the lock, and only then spawns the program.
    async fn spawn(
        self: &Arc<Self>,
        intent: &Intent,
        plan: &Arc<Plan>,
        listener: Option<Arc<TcpListener>>,
        configuration: &Configuration,
    ) -> Result<Leader, StartError> {
        let incarnation = intent.incarnation;
        let text = plan
            .render(configuration, &self.units.premises.limits)
            .map_err(|source| StartError::Configuration { incarnation, source })?;
        let (inner, intent, plan) = (Arc::clone(self), intent.clone(), Arc::clone(plan));
        blocking(move || {
            let spawned = inner.prepare(&intent, &plan, text.as_deref()).and_then(|(lock, log)| {
                let start = Start {
                    invocation: &plan.template.start,
                    environment: plan.environment(),
                    values: plan.values(),
                    directory: plan.files.directory(),
                    lock,
                    listener: listener.as_deref(),
                    log,
                };
                let spawned = Leader::spawn(start);
                spawned.map_err(|source| StartError::Spawn { program: plan.program(), source })
            });
            if spawned.is_err()
                && let Err(error) = inner.units.run.clear(incarnation, true)
            {
                tracing::warn!(%incarnation, %error, "the files of no process remain");
            }
            spawned
        })
        .await
    }

    /// Writes what a unit leaves on disk before its program runs. The lock, and its log.
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
        prepared().map_err(|error| self.units.unrecorded(incarnation, error))
    }

    fn watch(&self, supervisor: Supervisor) {
        tokio::spawn(supervisor.run());
    }

    /// Notes that a unit serves.
    fn serves(&self, incarnation: Incarnation) {
        self.move_on(incarnation, |phase| match phase {
            Phase::Starting | Phase::Silent => Some(Phase::Ready),
            Phase::Ready | Phase::Draining | Phase::Exited(_) => None,
        });
    }

    /// Notes that a unit does not answer, or not for long enough to be called silent.
    fn does_not_serve(&self, incarnation: Incarnation, is_silent: bool) {
        self.move_on(incarnation, |phase| match phase {
            Phase::Ready => Some(Phase::Starting),
            Phase::Starting if is_silent => Some(Phase::Silent),
            Phase::Starting | Phase::Silent | Phase::Draining | Phase::Exited(_) => None,
        });
    }

    fn move_on(&self, incarnation: Incarnation, next: impl FnOnce(&Phase) -> Option<Phase>) {
        let next = self.units.table().unit(incarnation).and_then(|unit| next(&unit.phase));
        if let Some(next) = next {
            self.units.change(|table| table.update(incarnation, |unit| unit.phase = next));
        }
    }

    /// Notes what a unit serves from now on.
    fn configured(&self, incarnation: Incarnation, revision: Revision) {
        tracing::info!(%incarnation, configuration = %revision, "serves a configuration");
        self.units.change(|table| table.update(incarnation, |unit| unit.configuration = revision));
    }

    /// Notes that the first process of a unit has ended, once the others have too.
    async fn ended(self: &Arc<Self>, incarnation: Incarnation, status: ExitStatus) {
        self.does_not_serve(incarnation, false);
        self.end_rest(incarnation).await;
        let stopped = self.units.table().is_stopping(incarnation);
        let last_words = if stopped { None } else { self.units.run.last_words(incarnation) };
        self.units.ended(incarnation, Exit { how: status, last_words }).await;
    }
}
