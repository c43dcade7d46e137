//! What is to be done, and what is to be said, about the difference between the units that the log
//! wants and those that the driver has. Pure: the same scene always leads to the same plan.

use meridian_domain::report::{ReportedUnit, UnitStatus};
use meridian_domain::{Incarnation, UnitId};
use tokio::time::Instant;

use crate::backoff::{Backoff, Moment};
use crate::desired::{Desired, DesiredUnit};
use crate::driver::{Phase, RunningUnit, UnitSpec};
use crate::observe::Observed;

/// What is known at one moment.
pub(crate) struct Scene<'a> {
    /// What the log wants.
    pub(crate) desired: &'a Desired,
    /// What the driver has.
    pub(crate) observed: &'a Observed,
    /// What failed, and waits.
    pub(crate) backoff: &'a Backoff,
    /// Whether the driver is already being told to start or stop that unit.
    pub(crate) busy: &'a dyn Fn(Incarnation) -> bool,
    /// Whether `desired` is at least as new as a read that a majority has confirmed to this process.
    /// Without that, no unit is stopped: an old disk must not take live capacity away.
    pub(crate) confirmed: bool,
    /// When that is.
    pub(crate) now: Moment,
}

/// What follows from a [`Scene`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What to tell the driver, at most once for each assignment.
    pub(crate) actions: Vec<Action>,
    /// The agent's unit table.
    pub(crate) rows: Vec<ReportedUnit>,
    /// When the passing of time alone will change the plan.
    pub(crate) wake: Option<Instant>,
}

/// What to tell the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a unit, or start it again.
    Start(UnitSpec),
    /// Drain a unit.
    Stop {
        /// The unit.
        unit: UnitId,
        /// Its assignment.
        incarnation: Incarnation,
        /// Why.
        why: Why,
    },
}

/// Why a unit is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The log says so.
    Released,
    /// The log does not know it.
    Surplus,
}

/// What follows from `scene`.
pub(crate) fn diff(scene: &Scene<'_>) -> Plan {
    let mut plan = Plan::default();
    for unit in scene.desired.units.values() {
        let running = scene.observed.get(&unit.incarnation);
        let status = if unit.wanted {
            Some(keep(scene, &mut plan, unit, running))
        } else {
            release(scene, &mut plan, unit, running)
        };
        plan.rows.extend(status.map(|status| ReportedUnit {
            unit: unit.unit.clone(),
            incarnation: unit.incarnation,
            status,
        }));
    }
    for running in scene.observed.values() {
        // What is newer than the set may well be wanted by the log that comes.
        let heard_of = running.incarnation.0 <= scene.desired.revision.0;
        if heard_of && !scene.desired.units.contains_key(&running.incarnation) {
            stop(scene, &mut plan, running, Why::Surplus);
        }
    }
    plan
}

/// Has a unit run that is to run.
fn keep(
    scene: &Scene<'_>,
    plan: &mut Plan,
    unit: &DesiredUnit,
    running: Option<&RunningUnit>,
) -> UnitStatus {
    let incarnation = unit.incarnation;
    let idle = !(scene.busy)(incarnation);
    match running.map(|running| (&running.phase, running.pid)) {
        None | Some((Phase::Exited(_), _)) => {
            let next_try = scene.backoff.next_try(incarnation);
            if idle && is_due(plan, next_try, scene.now) {
                plan.actions.push(Action::Start(scene.desired.spec(unit)));
            }
            scene.backoff.failure(incarnation).unwrap_or(UnitStatus::Busy)
        }
        // Neither started again nor killed: it may go on, and only the log takes capacity away.
        Some((Phase::Silent, _)) => scene.backoff.failure(incarnation).unwrap_or(UnitStatus::Busy),
        Some((Phase::Starting | Phase::Draining, _)) => UnitStatus::Busy,
        Some((Phase::Ready, pid)) => {
            if is_due(plan, scene.backoff.believed_from(incarnation), scene.now) {
                let configuration = running.map_or_else(Default::default, |it| it.configuration);
                UnitStatus::Ready { pid, configuration }
            } else {
                UnitStatus::Busy
            }
        }
    }
}

/// Has a unit end that is to drain; nothing is said of it once it has.
fn release(
    scene: &Scene<'_>,
    plan: &mut Plan,
    unit: &DesiredUnit,
    running: Option<&RunningUnit>,
) -> Option<UnitStatus> {
    if let Some(running) = running {
        stop(scene, plan, running, Why::Released);
    }
    (running.is_some() || (scene.busy)(unit.incarnation)).then_some(UnitStatus::Busy)
}

fn stop(scene: &Scene<'_>, plan: &mut Plan, running: &RunningUnit, why: Why) {
    let RunningUnit { unit, incarnation, phase, .. } = running;
    if scene.confirmed && *phase != Phase::Draining && !(scene.busy)(*incarnation) {
        let (unit, incarnation) = (unit.clone(), *incarnation);
        plan.actions.push(Action::Stop { unit, incarnation, why });
    }
}

/// Whether the time has come; if not, it is one to wake at.
fn is_due(plan: &mut Plan, time: Option<Instant>, now: Moment) -> bool {
    match time {
        Some(time) if time > now.instant => {
            plan.wake = Some(plan.wake.map_or(time, |wake| wake.min(time)));
            false
        }
        Some(_) | None => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests;
