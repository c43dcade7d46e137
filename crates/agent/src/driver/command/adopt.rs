//! Finding the units of the agent's earlier lives.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meridian_domain::Incarnation;
use tokio::sync::watch;
use tokio::time::timeout;

use super::process::{self, Leader};
use super::{CommandConfig, CommandDriver, Inner};
use crate::driver::run_directory::{DriverKind, Intent, Lock, RunDirectory};
use crate::driver::table::{Orders, Table};
use crate::driver::{OpenError, Phase, blocking};

/// For found units to answer before the driver opens without them. They are in the list either way.
const ADOPTION_LIMIT: Duration = Duration::from_secs(3);

impl CommandDriver {
    /// Opens the run directory, adopts the units that live, and deletes what dead ones left.
    ///
    /// One driver at a time: the caller holds the lock of the agent's data directory.
    ///
    /// # Errors
    /// If the directory cannot be used, or units of another driver live in it.
    pub async fn open(config: CommandConfig) -> Result<Self, OpenError> {
        let directory = config.directory.clone();
        Self::open_directory(config).await.map_err(|source| OpenError { directory, source })
    }

    async fn open_directory(config: CommandConfig) -> io::Result<Self> {
        let directory = config.directory.clone();
        let (run, living) = blocking(move || {
            let run = RunDirectory::open(&directory)?;
            let living = run.clear_dead(DriverKind::Command)?;
            io::Result::Ok((run, living))
        })
        .await?;
        let inner = Arc::new(Inner {
            config,
            run,
            table: Mutex::new(Table::default()),
            starting: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
        });
        for incarnation in living {
            adopt(&inner, incarnation).await?;
        }
        if timeout(ADOPTION_LIMIT, all_answered(&inner)).await.is_err() {
            tracing::warn!("some units run and do not answer; they stay in the list");
        }
        Ok(Self { inner })
    }
}

/// Watches over a found unit, if it is this agent's.
async fn adopt(inner: &Arc<Inner>, incarnation: Incarnation) -> io::Result<()> {
    let intent = match inner.run.intent(incarnation) {
        Ok(intent) => intent,
        Err(error) => {
            tracing::error!(
                %incarnation, %error,
                "a process runs here of which nothing can be known; it is left alone"
            );
            return Ok(());
        }
    };
    if intent.cluster != inner.config.cluster {
        tracing::error!(%incarnation, cluster = %intent.cluster, "a unit of another cluster");
        return Ok(());
    }
    match inner.leader(incarnation).await? {
        Some(leader) => {
            tracing::info!(unit = %intent.unit, %incarnation, pid = leader.pid, "found running");
            inner.adopt(&intent, leader, None);
        }
        None => {
            tracing::warn!(%incarnation, "its first process is dead: the others are killed");
            inner.end_rest(incarnation).await;
            inner.clear(incarnation, true).await?;
        }
    }
    Ok(())
}

/// Returns once every found unit has answered or ended.
async fn all_answered(inner: &Inner) {
    let mut changes = inner.changes.subscribe();
    let waiting = |_: &u64| inner.table().units().iter().all(|unit| unit.phase != Phase::Starting);
    if changes.wait_for(waiting).await.is_err() {
        tracing::debug!("the driver was closed while it opened");
    }
}

impl Inner {
    /// The first process of the unit that holds an incarnation's lock.
    pub(super) async fn leader(
        self: &Arc<Self>,
        incarnation: Incarnation,
    ) -> io::Result<Option<Leader>> {
        let inner = Arc::clone(self);
        blocking(move || process::find_leader(&inner.run.lock_file(incarnation))).await
    }

    /// Watches over a process that was found.
    pub(super) fn adopt(
        self: &Arc<Self>,
        intent: &Intent,
        leader: Leader,
        configuration: Option<Arc<meridian_domain::Configuration>>,
    ) {
        let plan = self.plan(intent, true);
        let stop = plan.files.is_stopping();
        if !stop {
            self.adopt_listener(&plan, intent, &leader);
        }
        let served = plan.files.served().unwrap_or_default();
        let orders = Orders { stop, configuration };
        let orders = self.insert(intent, leader.pid, served, orders);
        self.watch(super::Supervisor::of_found(
            Arc::clone(self),
            intent.incarnation,
            plan,
            leader,
            orders,
        ));
    }

    /// Takes the listening socket of a unit, unless it is here already.
    fn adopt_listener(&self, plan: &super::Plan, intent: &Intent, leader: &Leader) {
        let address = intent.address;
        if plan.template.listener == super::ListenerSource::Own
            || self.table().listener(address).is_some()
        {
            return;
        }
        match leader.listener() {
            Ok(listener) if listener.local_addr().is_ok_and(|found| found == address) => {
                tracing::info!(%address, "took the listening socket over");
                self.change(|table| table.keep_listener(address, Arc::new(listener)));
            }
            Ok(_) => tracing::warn!(%address, "its listening socket is another one"),
            Err(error) => tracing::warn!(%address, %error, "no listening socket was taken over"),
        }
    }

    /// Ends what is left of a unit whose first process has ended, and returns when nothing is.
    pub(super) async fn end_rest(self: &Arc<Self>, incarnation: Incarnation) {
        let mut pause = Duration::from_millis(10);
        loop {
            let inner = Arc::clone(self);
            let killed = blocking(move || {
                let lock = inner.run.lock(incarnation)?;
                let path = inner.run.lock_file(incarnation);
                if lock == Lock::Free { Ok(None) } else { process::kill_holders(&path).map(Some) }
            });
            match killed.await {
                Ok(None) => return,
                Ok(Some(killed)) => tracing::debug!(%incarnation, killed, "not all have ended"),
                Err(error) => {
                    tracing::warn!(%incarnation, %error, "it cannot be seen what is left")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}
