//! A reconciler without a quorum. Its machine runs units that are not desired in the state on its
//! disk. That state may be outdated, so none of them may be stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::ensure;
use async_trait::async_trait;
use meridian_agent::driver::{Driver, Phase, RunningUnit, StartError, UnitSpec, Unreachable};
use meridian_agent::{Reconciler, ReconcilerConfig};
use meridian_domain::{
    AgentName, Configuration, Generation, Incarnation, NodeId, RegionName, Revision, ServiceName,
    State, UnitId,
};
use meridian_ports::{
    Consistency, Proposal, Propose, ProposeError, Read, ReadError, ReadPoint, Receipt, UnitLoad,
    UnitLoads,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::runtime;

/// Time for which the reconciler is watched: many rounds.
const WATCHED: Duration = Duration::from_millis(300);

/// Checks that no unit is stopped before a read was confirmed.
pub fn check(seed: u64) -> anyhow::Result<()> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut state = State::default();
    state.header.revision = Revision(rng.random_range(1..50));
    // Some units may be newer than the state; these are never stopped.
    let count = rng.random_range(1..5);
    let incarnations = (0..count).map(|_| Incarnation(rng.random_range(1..60))).collect();
    let stopped = runtime()?.block_on(stopped(state, incarnations))?;
    ensure!(
        stopped.is_empty(),
        "S9: units {stopped:?} were stopped before a read was confirmed by a quorum"
    );
    Ok(())
}

async fn stopped(state: State, running: Vec<Incarnation>) -> anyhow::Result<Vec<Incarnation>> {
    let directory = tempfile::tempdir()?;
    let revision = watch::Sender::new(state.header.revision);
    let log = Arc::new(Log { state: RwLock::new(state), revision });
    let machine = Arc::new(Machine {
        running: running.into_iter().map(|incarnation| (incarnation, unit(incarnation))).collect(),
        stopped: Mutex::default(),
        changes: watch::Sender::new(0),
    });
    let config = ReconcilerConfig {
        agent: AgentName::new("we-1").expect("is a name"),
        node: NodeId(1),
        directory: directory.path().to_owned(),
        generation: Generation(1),
        gateway: [127, 0, 0, 1].into(),
        loads: watch::Sender::new(UnitLoads::default()),
    };
    let reconciler = Reconciler::build(config, log.clone(), log, machine.clone())?;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(reconciler.run(shutdown.clone()));
    sleep(WATCHED).await;
    shutdown.cancel();
    running.await??;
    let stopped = machine.stopped.lock().expect("no thread panics while holding the lock").clone();
    Ok(stopped)
}

fn unit(incarnation: Incarnation) -> RunningUnit {
    let service = ServiceName::new("contoso").expect("a valid name");
    let region = RegionName::new("westeurope").expect("a valid name");
    RunningUnit {
        unit: UnitId { service, region, slot: 1 },
        incarnation,
        address: ([127, 0, 0, 1], 8080).into(),
        phase: Phase::Ready,
        pid: Some(1),
        build: None,
        configuration: Revision(0),
        refused: None,
        load: UnitLoad::default(),
    }
}

/// A log without a quorum: its state can be read, but reads are never confirmed.
struct Log {
    state: RwLock<State>,
    revision: watch::Sender<Revision>,
}

#[async_trait]
impl Propose for Log {
    async fn propose(&self, _: Proposal) -> Result<Receipt, ProposeError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Read for Log {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        std::future::pending().await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no thread panics while holding the lock")
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }
}

/// A machine whose units never exit.
#[derive(Debug)]
struct Machine {
    running: BTreeMap<Incarnation, RunningUnit>,
    stopped: Mutex<Vec<Incarnation>>,
    changes: watch::Sender<u64>,
}

#[async_trait]
impl Driver for Machine {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        Ok(self.running.values().cloned().collect())
    }

    async fn start(&self, _: UnitSpec) -> Result<(), StartError> {
        Ok(())
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.stopped.lock().expect("no thread panics while holding the lock").push(incarnation);
        Ok(())
    }

    async fn kill(&self, _: Incarnation) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn configure(&self, _: Incarnation, _: Arc<Configuration>) -> Result<(), Unreachable> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
