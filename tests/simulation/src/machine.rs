//! A machine and its driver: units start, serve, exit and drain in simulated time. It survives
//! crashes of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use meridian_agent::driver::{
    Driver, Exit, ExitStatus, Phase, RunningUnit, StartError, UnitSpec, Unreachable,
};
use meridian_domain::{Configuration, Incarnation, ServiceName};
use meridian_ports::UnitLoad;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::trace;

/// A request to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverRequest {
    /// Start a unit that was not running.
    Start(Incarnation),
    /// Stop a unit that was running.
    Stop(Incarnation),
}

/// A machine. Clones share it.
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
    failing_starts: bool,
    requests: Vec<DriverRequest>,
}

#[derive(Debug)]
struct Slot {
    unit: RunningUnit,
    configuration: Arc<Configuration>,
    /// Time of the next phase change.
    until: Duration,
    /// True if it does not exit when it is killed.
    is_stuck: bool,
}

impl Slot {
    fn is_alive(&self) -> bool {
        !matches!(self.unit.phase, Phase::Exited(_))
    }
}

/// What happens to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It is killed.
    Kill,
    /// It hangs until it is killed.
    Hang,
    /// It hangs, and ends only when it is released.
    Stick,
    /// It drains although its agent did not ask it to.
    Drain,
}

fn killed() -> Phase {
    Phase::Exited(Exit { status: ExitStatus::Signal(9), output_tail: None })
}

impl Machine {
    /// Creates a machine without units.
    #[must_use]
    pub fn new(name: &str, seed: u64) -> Self {
        let table = Table {
            rng: SmallRng::seed_from_u64(seed),
            units: BTreeMap::new(),
            failing_starts: false,
            requests: Vec::new(),
        };
        let (table, changes) = (Mutex::new(table), watch::Sender::new(0));
        Self(Arc::new(Inner { name: name.to_owned(), table, changes }))
    }

    /// Advances the phases of the units to the current time.
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
                trace::note(format_args!("{}: unit {incarnation} has exited", self.0.name));
                changed = true;
                false
            }
            _ => true,
        });
        if changed {
            self.notify();
        }
    }

    /// Kills a random serving unit, makes it hang, or makes it drain as somebody else would. Returns
    /// false if there is none.
    pub fn harm_random(&self, harm: Harm, rng: &mut SmallRng) -> bool {
        let mut table = self.table();
        let alive = table.units.iter().filter(|(_, slot)| slot.unit.phase == Phase::Ready);
        let alive: Vec<_> = alive.map(|(incarnation, _)| *incarnation).collect();
        let Some(incarnation) = alive.choose(rng) else { return false };
        if let Some(slot) = table.units.get_mut(incarnation) {
            trace::note(format_args!("{}: unit {incarnation}: {harm:?}", self.0.name));
            slot.is_stuck = harm == Harm::Stick;
            slot.until = trace::now() + Duration::from_millis(rng.random_range(1..10_000));
            slot.unit.phase = match harm {
                Harm::Kill => killed(),
                Harm::Hang | Harm::Stick => Phase::Unresponsive,
                Harm::Drain => Phase::Draining,
            };
        }
        drop(table);
        self.notify();
        true
    }

    /// Sets whether starting units fails.
    pub fn set_failing_starts(&self, failing_starts: bool) {
        self.table().failing_starts = failing_starts;
    }

    /// Forgets exited units, as a driver does that stops with its agent.
    pub fn forget_exited(&self) {
        self.table().units.retain(|_, slot| slot.is_alive());
    }

    /// Returns the serving units.
    #[must_use]
    pub fn ready(&self) -> Vec<Incarnation> {
        let table = self.table();
        let ready = table.units.iter().filter(|(_, slot)| slot.unit.phase == Phase::Ready);
        ready.map(|(incarnation, _)| *incarnation).collect()
    }

    /// Returns the ports of the serving units, with their services.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<(u16, ServiceName)> {
        let table = self.table();
        let ready = table.units.values().filter(|slot| slot.unit.phase == Phase::Ready);
        ready.map(|slot| (slot.unit.address.port(), slot.unit.unit.service.clone())).collect()
    }

    /// Returns a watch that changes with each phase of a unit.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Returns the number of units in any phase.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().units.len()
    }

    /// Returns and clears the recorded requests.
    #[must_use]
    pub fn take_requests(&self) -> Vec<DriverRequest> {
        std::mem::take(&mut self.table().requests)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().expect("no thread panics while holding the lock")
    }

    fn notify(&self) {
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
        table.requests.push(DriverRequest::Start(incarnation));
        if table.failing_starts {
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
            refused: None,
            load: UnitLoad::default(),
        };
        table.units.insert(incarnation, Slot { unit, configuration, until, is_stuck: false });
        drop(table);
        self.notify();
        Ok(())
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        let mut table = self.table();
        let drain = Duration::from_millis(table.rng.random_range(1..3_000));
        let Some(slot) = table.units.get_mut(&incarnation) else { return Ok(()) };
        match slot.unit.phase {
            Phase::Exited(_) => drop(table.units.remove(&incarnation)),
            Phase::Draining => {}
            Phase::Starting | Phase::Ready | Phase::Unresponsive | Phase::Unhealthy(_) => {
                trace::note(format_args!("{}: drains unit {incarnation}", self.0.name));
                slot.unit.phase = Phase::Draining;
                slot.until = trace::now() + drain;
                table.requests.push(DriverRequest::Stop(incarnation));
            }
        }
        drop(table);
        self.notify();
        Ok(())
    }

    async fn kill(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        let mut table = self.table();
        let Some(slot) = table.units.get_mut(&incarnation) else { return Ok(()) };
        if slot.unit.phase == Phase::Unresponsive && !slot.is_stuck {
            trace::note(format_args!("{}: kills unit {incarnation}", self.0.name));
            slot.unit.phase = killed();
        }
        drop(table);
        self.notify();
        Ok(())
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        let mut table = self.table();
        let Some(slot) = table.units.get_mut(&incarnation) else { return Ok(()) };
        if slot.configuration == configuration {
            return Ok(());
        }
        slot.unit.configuration = configuration.revision;
        slot.configuration = configuration;
        drop(table);
        self.notify();
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Self::changes(self)
    }
}
