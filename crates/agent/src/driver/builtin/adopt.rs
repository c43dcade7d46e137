//! Adoption of the units of earlier process runs.

use std::sync::Arc;

use meridian_domain::Incarnation;

use super::process::Process;
use super::{Builtin, BuiltinConfig, Inner};
use crate::driver::Phase;
use crate::driver::controlled::{Control, ControlError};
use crate::driver::run_directory::{DriverKind, Intent};
use crate::driver::units::{DriverContext, OpenError, Units};
use crate::planted::{Bug, planted};

impl Builtin {
    /// Opens the run directory, adopts the running units, and deletes the files of units that have
    /// exited.
    ///
    /// The caller holds the lock of the agent's data directory, so only one driver is open.
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
            traffic,
            user,
            drain_timeout,
        } = config;
        let (kind, path) = (DriverKind::Builtin, directory.clone());
        let context =
            DriverContext { kind, cluster, agent, generation, directory, gateway, limits, traffic };
        let (units, running) = Units::open(context).await?;
        units.admit(user).map_err(|source| OpenError { directory: path, source })?;
        let inner = Arc::new(Inner { program, user, drain_timeout, units });
        for incarnation in running {
            adopt(&inner, incarnation).await;
        }
        inner.units.wait_for_adopted().await;
        Ok(Self { inner })
    }
}

/// Adopts a running unit if it belongs to this cluster.
async fn adopt(inner: &Arc<Inner>, incarnation: Incarnation) {
    let intent = match inner.units.run.intent(incarnation) {
        Ok(intent) => intent,
        Err(intent_error) => match query_intent(inner, incarnation).await {
            Ok(intent) => intent,
            Err(error) => {
                tracing::error!(
                    %incarnation, %intent_error, %error,
                    "cannot identify a running process of this incarnation; ignoring it"
                );
                return;
            }
        },
    };
    if intent.cluster != inner.units.context.cluster {
        tracing::error!(
            %incarnation, cluster = %intent.cluster,
            "ignoring a unit of another cluster"
        );
        return;
    }
    tracing::info!(unit = %intent.unit, %incarnation, "adopting running unit");
    let lock_file = inner.units.run.lock_file(incarnation);
    if planted(Bug::AdoptByPid)
        && let Some(pid) = inner.units.run.pid(incarnation)
        && let Ok(process) = Process::adopted(pid, lock_file.clone())
    {
        inner.supervise(&intent, process, None);
        inner.units.change(|table| table.update(incarnation, |unit| unit.phase = Phase::Ready));
        return;
    }
    inner.supervise(&intent, Process::unknown(lock_file), None);
}

/// Builds the intent from the identity that the unit reports, because the file is unreadable.
async fn query_intent(inner: &Inner, incarnation: Incarnation) -> Result<Intent, ControlError> {
    let generation = inner.units.context.generation;
    let mut control =
        Control::connect(&inner.units.run.control_socket(incarnation), generation).await?;
    let identity = control.describe().await?;
    inner.units.check_identity(incarnation, &identity)?;
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
