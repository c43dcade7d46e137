//! Adoption of the units of earlier process runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation};
use tokio::time::Instant;

use super::process::{self, MainProcess};
use super::{CommandConfig, CommandDriver, Inner};
use crate::driver::run_directory::{DriverKind, Intent, Lock};
use crate::driver::table::TargetState;
use crate::driver::units::{DriverContext, OpenError, Units};
use crate::driver::{Traffic, blocking, lock_holder};

impl CommandDriver {
    /// Opens the run directory, adopts the running units, and deletes the files of units that have
    /// exited.
    ///
    /// The caller holds the lock of the agent's data directory, so only one driver is open.
    ///
    /// # Errors
    /// If the directory cannot be used, or a unit of another driver runs in it.
    pub async fn open(config: CommandConfig) -> Result<Self, OpenError> {
        let CommandConfig {
            cluster,
            agent,
            generation,
            directory,
            gateway,
            templates,
            user,
            limits,
        } = config;
        let kind = DriverKind::Command;
        let path = directory.clone();
        // Meridian does not know the counters of a program.
        let traffic = Traffic::default();
        let context =
            DriverContext { kind, cluster, agent, generation, directory, gateway, limits, traffic };
        let (units, running) = Units::open(context).await?;
        units.admit(user).map_err(|source| OpenError { directory: path.clone(), source })?;
        let inner = Arc::new(Inner { templates, user, units });
        for incarnation in running {
            let adopted = adopt(&inner, incarnation).await;
            adopted.map_err(|source| OpenError { directory: path.clone(), source })?;
        }
        inner.units.wait_for_adopted().await;
        Ok(Self { inner })
    }
}

/// Adopts a running unit if it belongs to this cluster.
async fn adopt(inner: &Arc<Inner>, incarnation: Incarnation) -> io::Result<()> {
    let intent = match inner.units.run.intent(incarnation) {
        Ok(intent) => intent,
        Err(error) => {
            tracing::error!(
                %incarnation, %error,
                "cannot identify a running process of this incarnation; ignoring it"
            );
            return Ok(());
        }
    };
    if intent.cluster != inner.units.context.cluster {
        tracing::error!(
            %incarnation, cluster = %intent.cluster,
            "ignoring a unit of another cluster"
        );
        return Ok(());
    }
    match inner.main_process(incarnation).await? {
        Some(main_process) => {
            tracing::info!(
                unit = %intent.unit, %incarnation, pid = main_process.pid,
                "adopting running unit"
            );
            inner.adopt(&intent, main_process, None);
        }
        None => {
            tracing::warn!(
                %incarnation,
                "the main process has exited; killing the remaining processes"
            );
            inner.kill_remaining(incarnation).await;
            inner.units.clear(incarnation, true).await?;
        }
    }
    Ok(())
}

impl Inner {
    /// Finds the main process of a unit by its lock.
    pub(super) async fn main_process(
        self: &Arc<Self>,
        incarnation: Incarnation,
    ) -> io::Result<Option<MainProcess>> {
        let inner = Arc::clone(self);
        blocking(move || process::find_main_process(&inner.units.run.lock_file(incarnation))).await
    }

    /// Adds an adopted unit to the table and spawns its supervisor.
    pub(super) fn adopt(
        self: &Arc<Self>,
        intent: &Intent,
        main_process: MainProcess,
        configuration: Option<Arc<Configuration>>,
    ) {
        let plan = self.plan(intent, true);
        let stopped = plan.files.is_stopping().then(Instant::now);
        if stopped.is_none() {
            self.adopt_listener(&plan, intent, &main_process);
        }
        let served = plan.files.served().unwrap_or_default();
        let target = TargetState { stopped, configuration, ..TargetState::default() };
        let target = self.units.insert(intent, Some(main_process.pid), served, target);
        self.spawn_supervisor(super::Supervisor::adopted(
            Arc::clone(self),
            intent.incarnation,
            plan,
            main_process,
            target,
        ));
    }

    /// Takes a duplicate of a unit's listening socket, unless the driver has one.
    fn adopt_listener(&self, plan: &super::Plan, intent: &Intent, main_process: &MainProcess) {
        let (address, key) = (intent.address, intent.listener_key());
        if plan.template.listener == super::ListenerSource::Own
            || self.units.table().listener(&key).is_some()
        {
            return;
        }
        match main_process.listener() {
            Ok(listener) if listener.local_addr().is_ok_and(|found| found == address) => {
                tracing::info!(%address, "adopted the listening socket");
                self.units.change(|table| table.insert_listener(key, Arc::new(listener)));
            }
            Ok(_) => tracing::warn!(%address, "cannot adopt the listening socket: wrong address"),
            Err(error) => tracing::warn!(%address, %error, "cannot adopt the listening socket"),
        }
    }

    /// Kills the remaining processes of a unit whose main process has exited. Returns when none is
    /// left.
    pub(super) async fn kill_remaining(self: &Arc<Self>, incarnation: Incarnation) {
        let mut pause = Duration::from_millis(10);
        loop {
            let inner = Arc::clone(self);
            let killed = blocking(move || {
                let lock = inner.units.run.lock(incarnation)?;
                let path = inner.units.run.lock_file(incarnation);
                if lock == Lock::Free {
                    Ok(None)
                } else {
                    lock_holder::kill_holders(&path).map(Some)
                }
            });
            match killed.await {
                Ok(None) => return,
                Ok(Some(killed)) => {
                    tracing::debug!(%incarnation, killed, "waiting for killed processes to exit")
                }
                Err(error) => {
                    tracing::warn!(%incarnation, %error, "cannot list the remaining processes")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}
