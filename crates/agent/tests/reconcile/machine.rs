//! A machine with units that behave as the test wants. It outlives the process runs of the agent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use meridian_agent::driver::{
    Driver, Exit, ExitStatus, Phase, RunningUnit, StartError, UnitSpec, Unreachable,
};
use meridian_domain::{Configuration, Incarnation, Revision, UnitId};
use meridian_ports::UnitLoad;
use meridian_transport::PortHolder;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

/// Behavior of the units started from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    Serve,
    /// Crash after this time. They are ready after 10 ms.
    CrashAfter(Duration),
    /// Fail to start, because another process uses their port.
    PortInUse,
    /// Take this long to start.
    StartSlowly(Duration),
}

#[derive(Debug, Clone)]
pub struct Machine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Table {
    units: BTreeMap<Incarnation, RunningUnit>,
    behavior: Behavior,
    drain: Duration,
    reachable: bool,
    /// Last configuration of each unit.
    configurations: BTreeMap<Incarnation, Arc<Configuration>>,
    starts: Vec<(Instant, Incarnation)>,
    stops: Vec<Incarnation>,
    kills: Vec<Incarnation>,
    /// True if a killed unit does not exit.
    unkillable: bool,
    starting: usize,
    max_starting: usize,
}

impl Machine {
    pub fn new() -> Self {
        let table = Table {
            units: BTreeMap::new(),
            behavior: Behavior::Serve,
            drain: Duration::from_secs(1),
            reachable: true,
            configurations: BTreeMap::new(),
            starts: vec![],
            stops: vec![],
            kills: vec![],
            unkillable: false,
            starting: 0,
            max_starting: 0,
        };
        Self(Arc::new(Inner { table: Mutex::new(table), changes: watch::Sender::new(0) }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let changed = change(&mut self.table());
        self.0.changes.send_modify(|count| *count += 1);
        changed
    }

    pub fn set_behavior(&self, behavior: Behavior) {
        self.table().behavior = behavior;
    }

    pub fn set_drain(&self, drain: Duration) {
        self.table().drain = drain;
    }

    pub fn set_reachable(&self, reachable: bool) {
        self.table().reachable = reachable;
    }

    /// Every unit, in any phase.
    pub fn units(&self) -> Vec<RunningUnit> {
        self.table().units.values().cloned().collect()
    }

    /// The units that are ready.
    pub fn ready(&self) -> Vec<Incarnation> {
        let units = self.units().into_iter();
        units.filter(|unit| unit.phase == Phase::Ready).map(|unit| unit.incarnation).collect()
    }

    pub fn starts(&self) -> Vec<(Instant, Incarnation)> {
        self.table().starts.clone()
    }

    pub fn stops(&self) -> Vec<Incarnation> {
        self.table().stops.clone()
    }

    pub fn kills(&self) -> Vec<Incarnation> {
        self.table().kills.clone()
    }

    pub fn set_unkillable(&self, unkillable: bool) {
        self.table().unkillable = unkillable;
    }

    /// Makes a unit drain although its agent did not stop it.
    pub fn drain_by_itself(&self, incarnation: Incarnation) {
        self.drain(incarnation);
    }

    /// True if the unit drains.
    pub fn drains(&self, incarnation: Incarnation) -> bool {
        self.table().units.get(&incarnation).is_some_and(|unit| unit.phase == Phase::Draining)
    }

    /// The configuration of a unit.
    pub fn serves(&self, incarnation: Incarnation) -> Option<Arc<Configuration>> {
        self.table().configurations.get(&incarnation).cloned()
    }

    /// Maximum number of concurrent starts so far.
    pub fn max_starting(&self) -> usize {
        self.table().max_starting
    }

    pub fn crash(&self, incarnation: Incarnation) {
        let exit = Exit { status: ExitStatus::Signal(9), output_tail: None };
        self.change(|table| {
            if let Some(unit) = table.units.get_mut(&incarnation)
                && unit.phase != Phase::Draining
            {
                unit.phase = Phase::Exited(exit);
            }
        });
    }

    /// Makes a running unit hang or recover.
    pub fn set_hung(&self, incarnation: Incarnation, hung: bool) {
        let phase = if hung { Phase::Unresponsive } else { Phase::Ready };
        self.change(|table| table.units.get_mut(&incarnation).unwrap().phase = phase);
    }

    /// Forgets exited units, as a new driver does after the agent's process has exited.
    pub fn forget_exited(&self) {
        self.change(|table| table.units.retain(|_, unit| !matches!(unit.phase, Phase::Exited(_))));
    }

    /// Adds a running unit that no agent started.
    pub fn insert_running(&self, unit: UnitId, incarnation: Incarnation) {
        let unit = running(unit, incarnation, 8080, Phase::Ready);
        self.change(|table| table.units.insert(incarnation, unit));
    }

    fn drain(&self, incarnation: Incarnation) {
        let drain = self.change(|table| match table.units.get_mut(&incarnation)? {
            RunningUnit { phase: Phase::Exited(_), .. } => {
                table.units.remove(&incarnation);
                None
            }
            unit => {
                unit.phase = Phase::Draining;
                Some(table.drain)
            }
        });
        if let Some(drain) = drain {
            let machine = self.clone();
            tokio::spawn(async move {
                sleep(drain).await;
                machine.change(|table| table.units.remove(&incarnation));
            });
        }
    }

    fn begin(&self, spec: UnitSpec) -> Result<(), StartError> {
        let UnitSpec { unit, incarnation, port, configuration } = spec;
        let behavior = self.table().behavior;
        if behavior == Behavior::PortInUse {
            let address = ([127, 0, 1, 1], port).into();
            let holder = PortHolder { pid: 12, command: "nginx".to_owned() };
            return Err(StartError::PortHeld { address, holder: Some(holder) });
        }
        let started = self.change(|table| {
            let alive = |unit: &RunningUnit| !matches!(unit.phase, Phase::Exited(_));
            if table.units.get(&incarnation).is_some_and(alive) {
                return false;
            }
            let mut unit = running(unit, incarnation, port, Phase::Starting);
            unit.configuration = configuration.revision;
            table.units.insert(incarnation, unit);
            table.configurations.insert(incarnation, configuration);
            true
        });
        if started {
            let machine = self.clone();
            tokio::spawn(async move { machine.run(incarnation, behavior).await });
        }
        Ok(())
    }

    async fn run(&self, incarnation: Incarnation, behavior: Behavior) {
        sleep(Duration::from_millis(10)).await;
        self.change(|table| {
            if let Some(unit) = table.units.get_mut(&incarnation)
                && unit.phase == Phase::Starting
            {
                unit.phase = Phase::Ready;
            }
        });
        if let Behavior::CrashAfter(lifetime) = behavior {
            sleep(lifetime).await;
            self.crash(incarnation);
        }
    }
}

#[async_trait]
impl Driver for Machine {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        if self.table().reachable {
            Ok(self.units())
        } else {
            Err(Unreachable("the engine does not respond".into()))
        }
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let behavior = {
            let mut table = self.table();
            table.starts.push((Instant::now(), spec.incarnation));
            table.starting += 1;
            table.max_starting = table.max_starting.max(table.starting);
            table.behavior
        };
        // Per the contract of `Driver`, a start continues if its caller is cancelled.
        let machine = self.clone();
        let start = tokio::spawn(async move {
            if let Behavior::StartSlowly(duration) = behavior {
                sleep(duration).await;
            }
            let started = machine.begin(spec);
            machine.table().starting -= 1;
            started
        });
        start.await.unwrap()
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.table().stops.push(incarnation);
        self.drain(incarnation);
        Ok(())
    }

    async fn kill(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.change(|table| {
            table.kills.push(incarnation);
            let exit = Exit { status: ExitStatus::Signal(9), output_tail: None };
            match table.units.get_mut(&incarnation) {
                Some(unit) if unit.phase == Phase::Unresponsive && !table.unkillable => {
                    unit.phase = Phase::Exited(exit);
                }
                Some(_) | None => {}
            }
        });
        Ok(())
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        if self.serves(incarnation).as_ref() != Some(&configuration) {
            self.change(|table| {
                if let Some(unit) = table.units.get_mut(&incarnation) {
                    unit.configuration = configuration.revision;
                    table.configurations.insert(incarnation, configuration);
                }
            });
        }
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}

fn running(unit: UnitId, incarnation: Incarnation, port: u16, phase: Phase) -> RunningUnit {
    RunningUnit {
        unit,
        incarnation,
        address: ([127, 0, 1, 1], port).into(),
        refused: None,
        phase,
        pid: u32::try_from(incarnation.0).ok(),
        build: None,
        configuration: Revision(0),
        load: UnitLoad::default(),
    }
}
