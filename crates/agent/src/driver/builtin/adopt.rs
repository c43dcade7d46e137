//! Finding the units of the agent's earlier lives.

use std::sync::Arc;

use meridian_domain::Incarnation;

use super::process::Process;
use super::{Builtin, BuiltinConfig, Inner};
use crate::driver::Phase;
use crate::driver::controlled::{CallError, Control};
use crate::driver::run_directory::{DriverKind, Intent};
use crate::driver::units::{OpenError, Premises, Units};
use crate::planted::{Bug, planted};

impl Builtin {
    /// Opens the run directory, adopts the units that live, and deletes what dead ones left.
    ///
    /// One driver at a time: the caller holds the lock of the agent's data directory.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub async fn open(config: BuiltinConfig) -> Result<Self, OpenError> {
        let BuiltinConfig {
            cluster,
            agent,
            generation,
            directory,
            gateway,
            program,
            limits,
            drain_limit,
        } = config;
        let kind = DriverKind::Builtin;
        let premises = Premises { kind, cluster, agent, generation, directory, gateway, limits };
        let (units, living) = Units::open(premises).await?;
        let inner = Arc::new(Inner { program, drain_limit, units });
        for incarnation in living {
            adopt(&inner, incarnation).await;
        }
        inner.units.all_answered().await;
        Ok(Self { inner })
    }
}

/// Watches over a found unit, if it is this agent's.
async fn adopt(inner: &Arc<Inner>, incarnation: Incarnation) {
    let intent = match inner.units.run.intent(incarnation) {
        Ok(intent) => intent,
        Err(unreadable) => match ask(inner, incarnation).await {
            Ok(intent) => intent,
            Err(error) => {
                tracing::error!(
                    %incarnation, %unreadable, %error,
                    "a process runs here of which nothing can be known; it is left alone"
                );
                return;
            }
        },
    };
    if intent.cluster != inner.units.premises.cluster {
        tracing::error!(%incarnation, cluster = %intent.cluster, "a unit of another cluster");
        return;
    }
    tracing::info!(unit = %intent.unit, %incarnation, "found running");
    if planted(Bug::AdoptByPid)
        && let Some(pid) = inner.units.run.pid(incarnation)
        && let Ok(process) = Process::find(pid)
    {
        inner.supervise(&intent, process, None);
        inner.units.change(|table| table.update(incarnation, |unit| unit.phase = Phase::Ready));
        return;
    }
    inner.supervise(&intent, Process::Unknown, None);
}

/// What a unit itself says, where its intent cannot be read.
async fn ask(inner: &Inner, incarnation: Incarnation) -> Result<Intent, CallError> {
    let generation = inner.units.premises.generation;
    let mut control = Control::connect(&inner.units.run.socket(incarnation), generation).await?;
    let identity = control.describe().await?;
    inner.units.check(incarnation, &identity)?;
    Ok(Intent {
        version: 1,
        cluster: identity.cluster,
        unit: identity.unit,
        incarnation,
        generation,
        address: identity.address,
        driver: DriverKind::Builtin,
    })
}
