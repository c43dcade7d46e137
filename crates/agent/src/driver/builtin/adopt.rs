//! Finding the units of the agent's earlier lives.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meridian_domain::Incarnation;
use tokio::sync::watch;
use tokio::time::timeout;

use super::control::{CallError, Control};
use super::process::Process;
use super::{Builtin, BuiltinConfig, Inner};
use crate::driver::run_directory::{DriverKind, Intent, RunDirectory};
use crate::driver::table::Table;
use crate::driver::{Phase, blocking};
use crate::planted::{Bug, planted};

/// For found units to answer before the driver opens without them. They are in the list either way.
const ADOPTION_LIMIT: Duration = Duration::from_secs(3);

/// The run directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the run directory {directory} cannot be used")]
pub struct OpenError {
    /// The directory.
    pub directory: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Builtin {
    /// Opens the run directory, adopts the units that live, and deletes what dead ones left.
    ///
    /// One driver at a time: the caller holds the lock of the agent's data directory.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub async fn open(config: BuiltinConfig) -> Result<Self, OpenError> {
        let directory = config.directory.clone();
        Self::open_directory(config).await.map_err(|source| OpenError { directory, source })
    }

    async fn open_directory(config: BuiltinConfig) -> io::Result<Self> {
        let directory = config.directory.clone();
        let (run, living) = blocking(move || {
            let run = RunDirectory::open(&directory)?;
            let living = run.clear_dead(DriverKind::Builtin)?;
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
            adopt(&inner, incarnation).await;
        }
        if timeout(ADOPTION_LIMIT, all_answered(&inner)).await.is_err() {
            tracing::warn!("some units run and do not answer; they stay in the list");
        }
        Ok(Self { inner })
    }
}

/// Watches over a found unit, if it is this agent's.
async fn adopt(inner: &Arc<Inner>, incarnation: Incarnation) {
    let intent = match inner.run.intent(incarnation) {
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
    if intent.cluster != inner.config.cluster {
        tracing::error!(%incarnation, cluster = %intent.cluster, "a unit of another cluster");
        return;
    }
    tracing::info!(unit = %intent.unit, %incarnation, "found running");
    if planted(Bug::AdoptByPid)
        && let Some(pid) = inner.run.pid(incarnation)
        && let Ok(process) = Process::find(pid)
    {
        inner.supervise(&intent, process, None);
        inner.change(|table| table.update(incarnation, |unit| unit.phase = Phase::Ready));
        return;
    }
    inner.supervise(&intent, Process::Unknown, None);
}

/// What a unit itself says, where its intent cannot be read.
async fn ask(inner: &Inner, incarnation: Incarnation) -> Result<Intent, CallError> {
    let generation = inner.config.generation;
    let mut control = Control::connect(&inner.run.socket(incarnation), generation).await?;
    let identity = control.describe().await?;
    inner.check(incarnation, &identity)?;
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

/// Returns once every found unit has answered or ended.
async fn all_answered(inner: &Inner) {
    let mut changes = inner.changes.subscribe();
    let waiting = |_: &u64| inner.table().units().iter().all(|unit| unit.phase != Phase::Starting);
    if changes.wait_for(waiting).await.is_err() {
        tracing::debug!("the driver was closed while it opened");
    }
}
