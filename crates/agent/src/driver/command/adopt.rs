//! Finding the units of the agent's earlier lives.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation};

use super::process::{self, Leader};
use super::{CommandConfig, CommandDriver, Inner};
use crate::driver::blocking;
use crate::driver::run_directory::{DriverKind, Intent, Lock};
use crate::driver::table::Orders;
use crate::driver::units::{OpenError, Premises, Units};

impl CommandDriver {
    /// Opens the run directory, adopts the units that live, and deletes what dead ones left.
    ///
    /// One driver at a time: the caller holds the lock of the agent's data directory.
    ///
    /// # Errors
    /// If the directory cannot be used, or units of another driver live in it.
    pub async fn open(config: CommandConfig) -> Result<Self, OpenError> {
        let CommandConfig { cluster, agent, generation, directory, gateway, templates, limits } =
            config;
        let kind = DriverKind::Command;
        let at = directory.clone();
        let premises = Premises { kind, cluster, agent, generation, directory, gateway, limits };
        let (units, living) = Units::open(premises).await?;
        let inner = Arc::new(Inner { templates, units });
        for incarnation in living {
            let adopted = adopt(&inner, incarnation).await;
            adopted.map_err(|source| OpenError { directory: at.clone(), source })?;
        }
        inner.units.all_answered().await;
        Ok(Self { inner })
    }
}

/// Watches over a found unit, if it is this agent's.
async fn adopt(inner: &Arc<Inner>, incarnation: Incarnation) -> io::Result<()> {
    let intent = match inner.units.run.intent(incarnation) {
        Ok(intent) => intent,
        Err(error) => {
            tracing::error!(
                %incarnation, %error,
                "a process runs here of which nothing can be known; it is left alone"
            );
            return Ok(());
        }
    };
    if intent.cluster != inner.units.premises.cluster {
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
            inner.units.clear(incarnation, true).await?;
        }
    }
    Ok(())
}

impl Inner {
    /// The first process of the unit that holds an incarnation's lock.
    pub(super) async fn leader(
        self: &Arc<Self>,
        incarnation: Incarnation,
    ) -> io::Result<Option<Leader>> {
        let inner = Arc::clone(self);
        blocking(move || process::find_leader(&inner.units.run.lock_file(incarnation))).await
    }

    /// Watches over a process that was found.
    pub(super) fn adopt(
        self: &Arc<Self>,
        intent: &Intent,
        leader: Leader,
        configuration: Option<Arc<Configuration>>,
    ) {
        let plan = self.plan(intent, true);
        let stop = plan.files.is_stopping();
        if !stop {
            self.adopt_listener(&plan, intent, &leader);
        }
        let served = plan.files.served().unwrap_or_default();
        let orders = Orders { stop, configuration };
        let orders = self.units.insert(intent, Some(leader.pid), served, orders);
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
            || self.units.table().listener(address).is_some()
        {
            return;
        }
        match leader.listener() {
            Ok(listener) if listener.local_addr().is_ok_and(|found| found == address) => {
                tracing::info!(%address, "took the listening socket over");
                self.units.change(|table| table.keep_listener(address, Arc::new(listener)));
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
                let lock = inner.units.run.lock(incarnation)?;
                let path = inner.units.run.lock_file(incarnation);
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
