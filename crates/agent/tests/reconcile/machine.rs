//! A machine whose units are as well-behaved as the test wants. It outlives the agent's lives.

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

/// How the units that are started from now on are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Serve,
    /// Die so long after they were started; they answer after 10 ms.
    DieAfter(Duration),
    /// Another process has their port.
    FindThePortHeld,
    /// Their start takes as long as that.
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
    habit: Habit,
    drain: Duration,
    reachable: bool,
    /// What each unit was told to serve last.
    told: BTreeMap<Incarnation, Arc<Configuration>>,
    starts: Vec<(Instant, Incarnation)>,
    stops: Vec<Incarnation>,
    starting: usize,
    most_starting: usize,
}

impl Machine {
    pub fn new() -> Self {
        let table = Table {
            units: BTreeMap::new(),
            habit: Habit::Serve,
            drain: Duration::from_secs(1),
            reachable: true,
            told: BTreeMap::new(),
            starts: vec![],
            stops: vec![],
            starting: 0,
            most_starting: 0,
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

    pub fn set_habit(&self, habit: Habit) {
        self.table().habit = habit;
    }

    pub fn set_drain(&self, drain: Duration) {
        self.table().drain = drain;
    }

    pub fn set_reachable(&self, reachable: bool) {
        self.table().reachable = reachable;
    }

    /// Every unit, in whatever phase.
    pub fn units(&self) -> Vec<RunningUnit> {
        self.table().units.values().cloned().collect()
    }

    /// The units that answer.
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

    /// What a unit serves.
    pub fn serves(&self, incarnation: Incarnation) -> Option<Arc<Configuration>> {
        self.table().told.get(&incarnation).cloned()
    }

    /// The most units that were started at the same time.
    pub fn most_starting(&self) -> usize {
        self.table().most_starting
    }

    pub fn dies(&self, incarnation: Incarnation) {
        let exit = Exit { how: ExitStatus::Signal(9), last_words: None };
        self.change(|table| {
            if let Some(unit) = table.units.get_mut(&incarnation)
                && unit.phase != Phase::Draining
            {
                unit.phase = Phase::Exited(exit);
            }
        });
    }

    /// Has a running unit hang, or go on.
    pub fn hangs(&self, incarnation: Incarnation, hangs: bool) {
        let phase = if hangs { Phase::Silent } else { Phase::Ready };
        self.change(|table| table.units.get_mut(&incarnation).unwrap().phase = phase);
    }

    /// The agent that ran until now is gone: its driver's memory of dead units goes with it.
    pub fn forget_the_dead(&self) {
        self.change(|table| table.units.retain(|_, unit| !matches!(unit.phase, Phase::Exited(_))));
    }

    /// Has a unit run that nobody started.
    pub fn finds(&self, unit: UnitId, incarnation: Incarnation) {
        let found = running(unit, incarnation, 8080, Phase::Ready);
        self.change(|table| table.units.insert(incarnation, found));
    }

    fn begin(&self, spec: UnitSpec) -> Result<(), StartError> {
        let UnitSpec { unit, incarnation, port, configuration } = spec;
        let habit = self.table().habit;
        if habit == Habit::FindThePortHeld {
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
            table.told.insert(incarnation, configuration);
            true
        });
        if started {
            let machine = self.clone();
            tokio::spawn(async move { machine.live(incarnation, habit).await });
        }
        Ok(())
    }

    async fn live(&self, incarnation: Incarnation, habit: Habit) {
        sleep(Duration::from_millis(10)).await;
        self.change(|table| {
            if let Some(unit) = table.units.get_mut(&incarnation)
                && unit.phase == Phase::Starting
            {
                unit.phase = Phase::Ready;
            }
        });
        if let Habit::DieAfter(lifetime) = habit {
            sleep(lifetime).await;
            self.dies(incarnation);
        }
    }
}

#[async_trait]
impl Driver for Machine {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        if self.table().reachable {
            Ok(self.units())
        } else {
            Err(Unreachable("the engine does not answer".into()))
        }
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let habit = {
            let mut table = self.table();
            table.starts.push((Instant::now(), spec.incarnation));
            table.starting += 1;
            table.most_starting = table.most_starting.max(table.starting);
            table.habit
        };
        // As the contract says, a start goes on when whoever asked for it does not.
        let machine = self.clone();
        let start = tokio::spawn(async move {
            if let Habit::StartSlowly(duration) = habit {
                sleep(duration).await;
            }
            let started = machine.begin(spec);
            machine.table().starting -= 1;
            started
        });
        start.await.unwrap()
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        let drain = self.change(|table| {
            table.stops.push(incarnation);
            match table.units.get_mut(&incarnation)? {
                RunningUnit { phase: Phase::Exited(_), .. } => {
                    table.units.remove(&incarnation);
                    None
                }
                unit => {
                    unit.phase = Phase::Draining;
                    Some(table.drain)
                }
            }
        });
        if let Some(drain) = drain {
            let machine = self.clone();
            tokio::spawn(async move {
                sleep(drain).await;
                machine.change(|table| table.units.remove(&incarnation));
            });
        }
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
                    table.told.insert(incarnation, configuration);
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
        phase,
        pid: u32::try_from(incarnation.0).ok(),
        build: None,
        configuration: Revision(0),
        load: UnitLoad::default(),
    }
}
