//! The built-in driver: each unit is a process of this program, and all units of a service share
//! one listening socket.
//!
//! ```text
//! start:  bind socket -> sync intent -> spawn -> control socket responds   (Starting ... Ready)
//! stop:   close the driver's socket if last unit -> drain request -> exit -> delete files
//! open:   lock held -> adopt the unit and its socket; lock free -> delete its files
//! ```
//!
//! The module `run_directory` describes the files. The module `lock` of the gateway crate explains
//! why a crash at any point leaves no surplus unit.

use std::fs::File;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{AgentName, ClusterId, Configuration, Generation, Revision};

use super::controlled::Supervisor;
use super::launch::Launch;
use super::limits::explain_spawn_error;
use super::run_directory::{Intent, Lock};
use super::table::TargetState;
use super::units::Units;
use super::{StartError, Traffic, UnitLimits, UnitSpec, UnitUser, blocking};

mod adopt;
mod process;

pub use process::Program;

use crate::planted::{Bug, planted};
use process::Process;

/// Configuration of the built-in driver.
#[derive(Debug, Clone)]
pub struct BuiltinConfig {
    /// Id of the cluster. Units of another cluster are ignored.
    pub cluster: ClusterId,
    /// Name of this agent.
    pub agent: AgentName,
    /// Generation of this process run, from [`crate::generation::raise`]. Units refuse older ones.
    pub generation: Generation,
    /// Path of the run directory. Created if its parent exists.
    pub directory: PathBuf,
    /// Address that gateways listen on.
    pub gateway: IpAddr,
    /// Program to run for each unit.
    pub program: Program,
    /// Limits of each unit.
    pub limits: UnitLimits,
    /// Receives the traffic of the units.
    pub traffic: Traffic,
    /// User of the units, if it is another one than that of this process, which is root then.
    pub user: Option<UnitUser>,
    /// Time that a stopped unit may take to exit before it is killed. Default
    /// [`DRAIN_TIMEOUT`](Self::DRAIN_TIMEOUT).
    pub drain_timeout: Duration,
}

impl BuiltinConfig {
    /// A unit's own drain timeout of 10 s, and a reserve for a busy machine.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
}

/// The built-in driver. Clones share their units. Dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct Builtin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    program: Program,
    user: Option<UnitUser>,
    drain_timeout: Duration,
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
        let record_error = |error| units.record_error(incarnation, error);
        if units.clear(incarnation, false).await.map_err(record_error)? == Lock::Held {
            tracing::warn!(%incarnation, "adopted a running unit that was not in the table");
            let process = Process::unknown(units.run.lock_file(incarnation));
            inner.supervise(&intent, process, configuration);
            return Ok(());
        }
        let listener = units.listener(&intent.listener_key()).await?;
        let process = inner.spawn(&intent, &listener).await?;
        tracing::info!(
            unit = %intent.unit, %incarnation, address = %intent.address,
            "unit spawned"
        );
        units.change(|table| table.insert_listener(intent.listener_key(), listener));
        inner.supervise(&intent, process, configuration);
        Ok(())
    }
}

impl Inner {
    /// Makes the intent durable, then spawns the process.
    async fn spawn(
        self: &Arc<Self>,
        intent: &Intent,
        listener: &Arc<TcpListener>,
    ) -> Result<Process, StartError> {
        let incarnation = intent.incarnation;
        let (inner, intent, listener) = (Arc::clone(self), intent.clone(), Arc::clone(listener));
        blocking(move || {
            let Inner { program, units, user, .. } = &*inner;
            let run = &units.run;
            let prepared = inner.prepare(&intent);
            let (directory, log) =
                prepared.map_err(|error| units.record_error(incarnation, error))?;
            let agent = &units.context.agent;
            let child = process::spawn(program, agent, &intent, &listener, log, &directory, *user);
            if planted(Bug::AdoptByPid)
                && let Some(pid) = child.as_ref().ok().and_then(tokio::process::Child::id)
            {
                run.record_pid(incarnation, pid);
            }
            let spawned = child.map(|child| Process::spawned(child, run.lock_file(incarnation)));
            spawned.map_err(|source| {
                if let Err(error) = run.clear(incarnation, true) {
                    tracing::warn!(
                        %incarnation, %error,
                        "cannot delete the files of a unit that was not spawned"
                    );
                }
                let source = explain_spawn_error(*user, run.path(), source);
                StartError::Spawn { program: program.path.clone(), source }
            })
        })
        .await
    }

    /// Writes the unit's files before the spawn. Returns its working directory and its log.
    fn prepare(&self, intent: &Intent) -> io::Result<(PathBuf, File)> {
        let (run, incarnation) = (&self.units.run, intent.incarnation);
        run.record(intent)?;
        let directory = match self.user {
            None => run.path().to_owned(),
            Some(user) => {
                let directory = run.create_unit_directory(incarnation)?;
                run.give_to(incarnation, user)?;
                directory
            }
        };
        Ok((directory, run.log(incarnation)?))
    }

    /// Adds a unit to the table and spawns its supervisor.
    fn supervise(
        &self,
        intent: &Intent,
        process: Process,
        configuration: Option<Arc<Configuration>>,
    ) {
        let pid = process.pid();
        let (units, incarnation) = (Arc::clone(&self.units), intent.incarnation);
        let target = TargetState { configuration, ..TargetState::default() };
        let target = units.insert(intent, pid, Revision::default(), target);
        let socket = units.run.control_socket(incarnation);
        let supervisor =
            Supervisor::new(units, incarnation, process, socket, self.drain_timeout, target);
        tokio::spawn(supervisor.run());
    }
}
