//! Opens what an agent left as its next life does, and compares it with what was said of it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
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
use crate::check::{Verdict, with_causes};
use crate::expected::Expected;
use crate::node::{self, Chunks, Node, Refusal};

/// Rounds of the reconciler after which it is at rest: it has nothing more to tell the driver.
const ROUNDS: u64 = 3;
/// A unit that is not started by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the data directory `path`, and looks for all that was said.
pub async fn check(path: &Path, expected: &Expected) -> Verdict {
    let node = match node::establish(path).and_then(|found| Node::open(found, Chunks::Small)) {
        Ok(node) => node,
        Err(refusal) => return refused(&refusal),
    };
    match compare(path, node, expected).await {
        Ok(last) => Verdict::Whole { last },
        Err(error) => Verdict::Lost { what: format!("{error:#}") },
    }
}

fn refused(refusal: &Refusal) -> Verdict {
    Verdict::Refused { error: with_causes(refusal) }
}

async fn compare(path: &Path, mut node: Node, expected: &Expected) -> Result<Option<u64>> {
    let last = node.stores.log.get_log_state().await?.last_log_id.map(|last| last.index);
    let acknowledged = expected.committed();
    ensure!(last >= acknowledged, "the log ends at {last:?}, and {acknowledged:?} was said");
    let known = intents(&path.join(RUN))?;
    for incarnation in &expected.started {
        ensure!(known.contains(incarnation), "why unit {incarnation} runs; known are {known:?}");
    }
    let generation = generation::raise(path)?;
    let before = expected.generation;
    ensure!(generation.0 > before, "generation {before}: the next life is {generation}");
    // The power took the units with it: nothing is found running, and what they left is gone.
    let run = path.join(RUN);
    let builtin = Builtin::open(super::machine(path, generation)).await?;
    ensure!(builtin.list().await?.is_empty(), "no unit outlives a loss of power");
    ensure!(intents(&run)?.is_empty(), "what dead units left is still there");
    compare_desired(path, generation, expected).await?;
    // An agent that can read its log goes on with it.
    Log::find(node).await.context("the log cannot be applied")?;
    Ok(last)
}

/// The incarnations whose intents are there; each intent is whole.
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
            let whole = u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes()));
            let intent: serde_json::Value = serde_json::from_str(json).ok().filter(|_| whole)?;
            intent.get("incarnation")?.as_u64()
        };
        known.insert(intent().with_context(|| format!("{} is not whole", path.display()))?);
    }
    Ok(known)
}

/// Whether an agent that reaches nobody starts what it was to have, and nothing that it was told to
/// stop.
async fn compare_desired(path: &Path, generation: Generation, expected: &Expected) -> Result<()> {
    let config = super::config(path, generation);
    let alone = Arc::new(Alone::default());
    let reconciler =
        Reconciler::build(config, alone.clone(), alone.clone(), alone.clone() as Arc<dyn Driver>)?;
    tokio::select! {
        ended = reconciler.run(tokio_util::sync::CancellationToken::new()) => {
            ended?;
        }
        () = alone.rest(&expected.wanted) => {}
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let started = alone.started.lock().expect("nothing panics while it holds this").clone();
    for incarnation in &expected.wanted {
        ensure!(started.contains(incarnation), "unit {incarnation}; wanted are {started:?}");
    }
    for incarnation in &expected.released {
        let again = started.contains(incarnation);
        ensure!(!again, "unit {incarnation} was told to stop; wanted are {started:?}");
    }
    Ok(())
}

/// A machine whose agent reaches nobody, and what it is told to start.
#[derive(Debug, Default)]
struct Alone {
    started: Mutex<BTreeSet<u64>>,
    looks: watch::Sender<u64>,
}

impl Alone {
    /// Returns once its reconciler has looked at it often enough, and has started these units.
    async fn rest(&self, wanted: &[u64]) {
        let started = || self.started.lock().expect("nothing panics while it holds this");
        let has_all = || wanted.iter().all(|incarnation| started().contains(incarnation));
        let mut looks = self.looks.subscribe();
        // The sender is here.
        let _ = looks.wait_for(|looks| *looks > ROUNDS && has_all()).await;
    }
}

static NOTHING: LazyLock<RwLock<State>> = LazyLock::new(RwLock::default);

#[async_trait]
impl Propose for Alone {
    async fn propose(&self, _: Proposal) -> Result<Receipt, ProposeError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Read for Alone {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        std::future::pending().await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        NOTHING.read().expect("nothing panics while it holds the state")
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        watch::Sender::new(Revision(0)).subscribe()
    }
}

#[async_trait]
impl Driver for Alone {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        // Each look is the occasion for another one.
        self.looks.send_modify(|looks| *looks += 1);
        Ok(Vec::new())
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let mut started = self.started.lock().expect("nothing panics while it holds this");
        started.insert(spec.incarnation.0);
        Ok(())
    }

    async fn stop(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn configure(&self, _: Incarnation, _: Arc<Configuration>) -> Result<(), Unreachable> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }
}
