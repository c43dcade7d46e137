//! Opens the directory of an agent as its next process run does, and compares it with the reported
//! progress.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use error_reporter::Report;
use meridian_agent::driver::{Builtin, Driver, RunningUnit, StartError, UnitSpec, Unreachable};
use meridian_agent::{Reconciler, generation};
use meridian_domain::{Configuration, Generation, Incarnation, Revision, State};
use meridian_ports::{
    Consistency, Proposal, Propose, ProposeError, Read, ReadError, ReadPoint, Receipt,
};
use openraft::storage::RaftLogStorage as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::RUN;
use super::log::Log;
use crate::check::Verdict;
use crate::expected::Expected;
use crate::node::{self, Chunks, Node, NodeOpenError};

/// Number of reconciler rounds after which it has no further actions for the driver.
const ROUNDS: u64 = 3;
/// Timeout for a unit to start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Opens the data directory `path`, and verifies that it has everything that was acknowledged.
pub async fn check(path: &Path, expected: &Expected) -> Verdict {
    let node = match node::establish(path).and_then(|found| Node::open(found, Chunks::Small)) {
        Ok(node) => node,
        Err(error) => return rejected(&error),
    };
    match compare(path, node, expected).await {
        Ok(last) => Verdict::Intact { last },
        Err(error) => Verdict::Lost { what: format!("{error:#}") },
    }
}

fn rejected(error: &NodeOpenError) -> Verdict {
    Verdict::Rejected { error: Report::new(error).to_string() }
}

async fn compare(path: &Path, mut node: Node, expected: &Expected) -> Result<Option<u64>> {
    let last = node.stores.log.get_log_state().await?.last_log_id.map(|last| last.index);
    let acknowledged = expected.committed();
    ensure!(
        last >= acknowledged,
        "the log ends at {last:?}, but {acknowledged:?} was acknowledged"
    );
    let known = intents(&path.join(RUN))?;
    for incarnation in &expected.started {
        ensure!(known.contains(incarnation), "no intent of unit {incarnation}, only of {known:?}");
    }
    let generation = generation::raise(path)?;
    let before = expected.generation;
    ensure!(generation.0 > before, "the generation went from {before} to {generation}");
    // The power cut ended the units: none is found, and their files are removed.
    let run = path.join(RUN);
    let builtin = Builtin::open(super::machine(path, generation)).await?;
    ensure!(builtin.list().await?.is_empty(), "a unit survived the power cut");
    ensure!(intents(&run)?.is_empty(), "files of dead units were not removed");
    compare_desired(path, generation, expected).await?;
    // An agent with a readable log continues with it.
    Log::open(node).await.context("cannot apply the log")?;
    Ok(last)
}

/// Returns the incarnations of all intents; each intent must be intact.
fn intents(run: &Path) -> Result<BTreeSet<u64>> {
    let entries = match fs::read_dir(run) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut known = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let intent = || -> Option<u64> {
            let text = fs::read_to_string(&path).ok()?;
            let (sum, json) = text.trim_end().split_once(' ')?;
            let intact = u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes()));
            let intent: serde_json::Value = serde_json::from_str(json).ok().filter(|_| intact)?;
            intent.get("incarnation")?.as_u64()
        };
        known.insert(intent().with_context(|| format!("{} is damaged", path.display()))?);
    }
    Ok(known)
}

/// Verifies that an isolated agent starts its desired units, and none that it was asked to stop.
async fn compare_desired(path: &Path, generation: Generation, expected: &Expected) -> Result<()> {
    let config = super::config(path, generation);
    let isolated = Arc::new(Isolated::default());
    let reconciler = Reconciler::build(
        config,
        isolated.clone(),
        isolated.clone(),
        isolated.clone() as Arc<dyn Driver>,
    )?;
    tokio::select! {
        stopped = reconciler.run(tokio_util::sync::CancellationToken::new()) => {
            stopped?;
        }
        () = isolated.wait_for_units(&expected.wanted) => {}
        () = tokio::time::sleep(TIMEOUT) => {}
    }
    let started = isolated.started.lock().expect("no thread panics while holding the lock").clone();
    for incarnation in &expected.wanted {
        ensure!(
            started.contains(incarnation),
            "unit {incarnation} was not started, only {started:?}"
        );
    }
    for incarnation in &expected.released {
        let restarted = started.contains(incarnation);
        ensure!(!restarted, "stopped unit {incarnation} was started again: {started:?}");
    }
    Ok(())
}

/// The ports and the driver of an isolated agent, which record the started units.
#[derive(Debug, Default)]
struct Isolated {
    started: Mutex<BTreeSet<u64>>,
    rounds: watch::Sender<u64>,
}

impl Isolated {
    /// Waits until the reconciler has run enough rounds and has started these units.
    async fn wait_for_units(&self, wanted: &[u64]) {
        let started = || self.started.lock().expect("no thread panics while holding the lock");
        let has_all = || wanted.iter().all(|incarnation| started().contains(incarnation));
        let mut rounds = self.rounds.subscribe();
        // Fails only if the sender is dropped, and `self` owns it.
        let _ = rounds.wait_for(|rounds| *rounds > ROUNDS && has_all()).await;
    }
}

static EMPTY_STATE: LazyLock<RwLock<State>> = LazyLock::new(RwLock::default);

#[async_trait]
impl Propose for Isolated {
    async fn propose(&self, _: Proposal) -> Result<Receipt, ProposeError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Read for Isolated {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        std::future::pending().await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        EMPTY_STATE.read().expect("no thread panics while holding the lock")
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        watch::Sender::new(Revision(0)).subscribe()
    }
}

#[async_trait]
impl Driver for Isolated {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        // Each listing notifies of a change, which triggers the next round.
        self.rounds.send_modify(|rounds| *rounds += 1);
        Ok(Vec::new())
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let mut started = self.started.lock().expect("no thread panics while holding the lock");
        started.insert(spec.incarnation.0);
        Ok(())
    }

    async fn stop(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn kill(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn configure(&self, _: Incarnation, _: Arc<Configuration>) -> Result<(), Unreachable> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }
}
