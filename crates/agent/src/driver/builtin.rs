//! The built-in driver: each unit is a process of this program, and all units of a service share one
//! listening socket.
//!
//! ```text
//! start:  socket -> intent synced -> spawn -> control socket answers      (Starting ... Ready)
//! stop:   own duplicate of the socket closed if the last -> Drain -> process ends -> files deleted
//! open:   lock held -> adopt what answers, take its socket over; lock free -> delete what it left
//! ```
//!
//! What is on disk is described in `run_directory`; why a crash anywhere leaves no unit too many, in
//! the unit's own crate, module `lock`.

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{AgentName, ClusterId, Configuration, Generation, Revision};

use super::controlled::Supervisor;
use super::launch::Launch;
use super::run_directory::{Intent, Lock};
use super::table::Orders;
use super::units::Units;
use super::{StartError, UnitLimits, UnitSpec, blocking};

mod adopt;
mod process;

pub use process::Program;

use crate::planted::{Bug, planted};
use process::Process;

/// What the driver has to know.
#[derive(Debug, Clone)]
pub struct BuiltinConfig {
    /// The cluster: units of another one are left alone.
    pub cluster: ClusterId,
    /// This agent.
    pub agent: AgentName,
    /// This life of it, from [`crate::generation::raise`]: units refuse older ones.
    pub generation: Generation,
    /// The run directory. Created where its parent exists.
    pub directory: PathBuf,
    /// The address that gateways listen on.
    pub gateway: IpAddr,
    /// What is run for each unit.
    pub program: Program,
    /// What each unit takes on.
    pub limits: UnitLimits,
    /// How long a stopped unit may take to end before it is killed. Default
    /// [`DRAIN_LIMIT`](Self::DRAIN_LIMIT).
    pub drain_limit: Duration,
}

impl BuiltinConfig {
    /// A unit's own ten seconds, and some for a busy machine.
    pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);
}

/// The built-in driver. Clones are handles to the same one; dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct Builtin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    program: Program,
    drain_limit: Duration,
    units: Arc<Units>,
}

#[async_trait]
impl Launch for Builtin {
    fn units(&self) -> &Arc<Units> {
        &self.inner.units
    }

    async fn launch(&self, spec: UnitSpec) -> Result<(), StartError> {
        let inner = &self.inner;
        let units = &inner.units;
        let incarnation = spec.incarnation;
        let intent = units.intent(&spec);
        let configuration = Some(spec.configuration);
        let unrecorded = |error| units.unrecorded(incarnation, error);
        if units.clear(incarnation, false).await.map_err(unrecorded)? == Lock::Held {
            tracing::warn!(%incarnation, "runs already, though nothing was known of it: adopted");
            inner.supervise(&intent, Process::Unknown, configuration);
            return Ok(());
        }
        let listener = units.listener(intent.address).await?;
        let process = inner.spawn(&intent, &listener).await?;
        tracing::info!(unit = %intent.unit, %incarnation, address = %intent.address, "started");
        units.change(|table| table.keep_listener(intent.address, listener));
        inner.supervise(&intent, process, configuration);
        Ok(())
    }
}

impl Inner {
    /// Makes the intent durable, and only then spawns the process.
    async fn spawn(
        self: &Arc<Self>,
        intent: &Intent,
        listener: &Arc<TcpListener>,
    ) -> Result<Process, StartError> {
        let incarnation = intent.incarnation;
        let (inner, intent, listener) = (Arc::clone(self), intent.clone(), Arc::clone(listener));
        blocking(move || {
            let Inner { program, units, .. } = &*inner;
            let run = &units.run;
            let log = run.record(&intent).and_then(|()| run.log(incarnation));
            let log = log.map_err(|error| units.unrecorded(incarnation, error))?;
            let agent = &units.premises.agent;
            let child = process::spawn(program, agent, &intent, &listener, log, run.path());
            if planted(Bug::AdoptByPid)
                && let Some(pid) = child.as_ref().ok().and_then(tokio::process::Child::id)
            {
                run.note_pid(incarnation, pid);
            }
            child.map(Process::Child).map_err(|source| {
                if let Err(error) = run.clear(incarnation, true) {
                    tracing::warn!(%incarnation, %error, "the files of no process remain");
                }
                StartError::Spawn { program: program.path.clone(), source }
            })
        })
        .await
    }

    /// Adds a unit to the table, and watches over it from now on.
    fn supervise(
        &self,
        intent: &Intent,
        process: Process,
        configuration: Option<Arc<Configuration>>,
    ) {
        let pid = match &process {
            Process::Child(child) => child.id(),
            Process::Found(_) | Process::Unknown => None,
        };
        let (units, incarnation) = (Arc::clone(&self.units), intent.incarnation);
        let orders = Orders { stop: false, configuration };
        let orders = units.insert(intent, pid, Revision::default(), orders);
        let socket = units.run.socket(incarnation);
        let supervisor =
            Supervisor::new(units, incarnation, process, socket, self.drain_limit, orders);
        tokio::spawn(supervisor.run());
    }
}
