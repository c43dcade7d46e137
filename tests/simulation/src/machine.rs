//! A machine and its driver: units that start, serve, die and drain by simulated time. It outlives the
//! agent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use meridian_agent::driver::{
    Driver, Exit, ExitStatus, Phase, RunningUnit, StartError, UnitSpec, Unreachable,
};
use meridian_domain::{Configuration, Incarnation};
use meridian_ports::UnitLoad;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::trace;

/// What was asked of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To start that unit; it was not running.
    Start(Incarnation),
    /// To stop that unit; it was running.
    Stop(Incarnation),
}

/// A machine. Every clone is the same.
#[derive(Debug, Clone)]
pub struct Machine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Table {
    rng: SmallRng,
    units: BTreeMap<Incarnation, Slot>,
    refuses: bool,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Slot {
    unit: RunningUnit,
    told: Arc<Configuration>,
    /// When its phase changes by itself.
    until: Duration,
}

impl Slot {
    fn is_alive(&self) -> bool {
        !matches!(self.unit.phase, Phase::Exited(_))
    }
}

impl Machine {
    /// A machine on which nothing runs.
    #[must_use]
    pub fn new(name: &str, seed: u64) -> Self {
        let table = Table {
            rng: SmallRng::seed_from_u64(seed),
            units: BTreeMap::new(),
            refuses: false,
            asked: Vec::new(),
        };
        let (table, changes) = (Mutex::new(table), watch::Sender::new(0));
        Self(Arc::new(Inner { name: name.to_owned(), table, changes }))
    }

    /// Lets units go on to where they are by now.
    pub fn advance(&self) {
        let now = trace::now();
        let mut changed = false;
        self.table().units.retain(|incarnation, slot| match slot.unit.phase {
            Phase::Starting if slot.until <= now => {
                trace::note(format_args!("{}: unit {incarnation} is ready", self.0.name));
                slot.unit.phase = Phase::Ready;
                changed = true;
                true
            }
            Phase::Draining if slot.until <= now => {
                trace::note(format_args!("{}: unit {incarnation} has ended", self.0.name));
                changed = true;
                false
            }
            _ => true,
        });
        if changed {
            self.tell();
        }
    }

    /// Kills one of the running units, if there is one.
    pub fn kill_one(&self, rng: &mut SmallRng) -> bool {
        let mut table = self.table();
        let alive = table.units.iter().filter(|(_, slot)| slot.unit.phase == Phase::Ready);
        let alive: Vec<_> = alive.map(|(incarnation, _)| *incarnation).collect();
        let Some(incarnation) = alive.choose(rng) else { return false };
        if let Some(slot) = table.units.get_mut(incarnation) {
            trace::note(format_args!("{}: unit {incarnation} dies", self.0.name));
            slot.unit.phase =
                Phase::Exited(Exit { status: ExitStatus::Signal(9), output_tail: None });
        }
        drop(table);
        self.tell();
        true
    }

    /// From now on, starts fail, or do so no more.
    pub fn set_refuses(&self, refuses: bool) {
        self.table().refuses = refuses;
    }

    /// The agent is gone: its driver's memory of dead units goes with it.
    pub fn forget_the_dead(&self) {
        self.table().units.retain(|_, slot| slot.is_alive());
    }

    /// The units that serve.
    #[must_use]
    pub fn ready(&self) -> Vec<Incarnation> {
        let table = self.table();
        let ready = table.units.iter().filter(|(_, slot)| slot.unit.phase == Phase::Ready);
        ready.map(|(incarnation, _)| *incarnation).collect()
    }

    /// How many units there are, in whatever phase.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().units.len()
    }

    /// What was asked since the last call.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.table().asked)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().expect("nothing panics while it holds the units")
    }

    fn tell(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Driver for Machine {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        Ok(self.table().units.values().map(|slot| slot.unit.clone()).collect())
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        let UnitSpec { unit, incarnation, port, configuration } = spec;
        let address = ([127, 0, 0, 1], port).into();
        let mut table = self.table();
        if table.units.get(&incarnation).is_some_and(Slot::is_alive) {
            return Ok(());
        }
        trace::note(format_args!("{}: starts unit {incarnation}", self.0.name));
        table.asked.push(Asked::Start(incarnation));
        if table.refuses {
            return Err(StartError::PortHeld { address, holder: None });
        }
        let until = trace::now() + Duration::from_millis(table.rng.random_range(1..200));
        let unit = RunningUnit {
            unit,
            incarnation,
            address,
            phase: Phase::Starting,
            pid: u32::try_from(incarnation.0).ok(),
            build: None,
            configuration: configuration.revision,
            load: UnitLoad::default(),
        };
        table.units.insert(incarnation, Slot { unit, told: configuration, until });
        drop(table);
        self.tell();
        Ok(())
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        let mut table = self.table();
        let drain = Duration::from_millis(table.rng.random_range(1..3_000));
        let Some(slot) = table.units.get_mut(&incarnation) else { return Ok(()) };
        match slot.unit.phase {
            Phase::Exited(_) => drop(table.units.remove(&incarnation)),
            Phase::Draining => {}
            Phase::Starting | Phase::Ready | Phase::Unresponsive => {
                trace::note(format_args!("{}: stops unit {incarnation}", self.0.name));
                slot.unit.phase = Phase::Draining;
                slot.until = trace::now() + drain;
                table.asked.push(Asked::Stop(incarnation));
            }
        }
        drop(table);
        self.tell();
        Ok(())
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        let mut table = self.table();
        let Some(slot) = table.units.get_mut(&incarnation) else { return Ok(()) };
        if slot.told == configuration {
            return Ok(());
        }
        slot.unit.configuration = configuration.revision;
        slot.told = configuration;
        drop(table);
        self.tell();
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}
