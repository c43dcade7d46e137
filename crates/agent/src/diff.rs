//! Computes the actions and the report from the desired and the observed units. Pure: equal inputs
//! give equal plans.

use std::net::IpAddr;
use std::sync::Arc;

use meridian_domain::report::{ReportedUnit, UnitStatus};
use meridian_domain::{Incarnation, UnitId};
use tokio::time::Instant;

use crate::backoff::{Backoff, Moment};
use crate::desired::{Desired, DesiredUnit};
use crate::driver::{Phase, RunningUnit, UnitSpec};
use crate::lingering::Lingering;
use crate::observe::Observed;

/// Inputs of [`diff`], all of one moment.
pub(crate) struct Inputs<'a> {
    /// The units that the log assigns to this agent.
    pub(crate) desired: &'a Desired,
    /// The units that the driver has.
    pub(crate) observed: &'a Observed,
    /// Failed units and the time of their next start.
    pub(crate) backoff: &'a Backoff,
    /// Released units that serve on for a while.
    pub(crate) lingering: &'a Lingering,
    /// Address that gateways listen on.
    pub(crate) gateway: IpAddr,
    /// True for a unit with an action in progress.
    pub(crate) busy: &'a dyn Fn(Incarnation) -> bool,
    /// True if `desired` is at least as new as a read that a majority has confirmed to this
    /// process. Otherwise no unit is stopped: an outdated disk must not remove live capacity.
    pub(crate) confirmed: bool,
    /// Current time.
    pub(crate) now: Moment,
}

/// Output of [`diff`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Actions for the driver, at most one per incarnation: starts that have failed before come
    /// last, those that wait longest first among them.
    pub(crate) actions: Vec<Action>,
    /// Unit table to report.
    pub(crate) rows: Vec<ReportedUnit>,
    /// Earliest time at which the plan changes without any other input changing.
    pub(crate) wake: Option<Instant>,
}

/// An action for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a unit, possibly after it exited.
    Start(UnitSpec),
    /// Kill a unit that does not respond.
    Kill {
        /// The unit.
        unit: UnitId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// Drain and stop a unit.
    Stop {
        /// The unit.
        unit: UnitId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Reason for the stop.
        reason: StopReason,
    },
}

/// Reason for stopping a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The log released the unit.
    Released,
    /// The log does not have the unit.
    Surplus,
}

/// Computes the plan for `inputs`.
pub(crate) fn diff(inputs: &Inputs<'_>) -> Plan {
    let mut plan = Plan::default();
    for unit in inputs.desired.units.values() {
        let running = inputs.observed.get(&unit.incarnation);
        let status = if unit.wanted {
            Some(plan_wanted(inputs, &mut plan, unit, running))
        } else {
            plan_released(inputs, &mut plan, unit, running)
        };
        let replace = unit.wanted
            && (is_misplaced(inputs, running)
                || is_stuck(inputs, &mut plan, unit.incarnation, running));
        plan.rows.extend(status.map(|status| ReportedUnit {
            unit: unit.unit.clone(),
            incarnation: unit.incarnation,
            status,
            replace,
        }));
    }
    for running in inputs.observed.values() {
        // A unit newer than this set may be wanted by a revision that is not durable here yet.
        let is_known = running.incarnation.0 <= inputs.desired.revision.0;
        if is_known && !inputs.desired.units.contains_key(&running.incarnation) {
            plan_stop(inputs, &mut plan, running, StopReason::Surplus);
        }
    }
    plan.actions.sort_by_key(|action| match action {
        Action::Start(spec) => inputs.backoff.next_try(spec.incarnation),
        Action::Kill { .. } | Action::Stop { .. } => None,
    });
    plan
}

/// True if the unit serves at another address than it should.
fn is_misplaced(inputs: &Inputs<'_>, running: Option<&RunningUnit>) -> bool {
    running.is_some_and(|unit| unit.phase == Phase::Ready && unit.address.ip() != inputs.gateway)
}

/// True if the process of the unit has failed but does not exit, so that the log must replace it.
fn is_stuck(
    inputs: &Inputs<'_>,
    plan: &mut Plan,
    incarnation: Incarnation,
    running: Option<&RunningUnit>,
) -> bool {
    let replace_at = inputs.backoff.replace_at(incarnation);
    running.is_some_and(|unit| !unit.phase.has_exited())
        && replace_at.is_some()
        && is_due(plan, replace_at, inputs.now)
}

/// Plans a unit that should run. Returns the status to report.
fn plan_wanted(
    inputs: &Inputs<'_>,
    plan: &mut Plan,
    unit: &DesiredUnit,
    running: Option<&RunningUnit>,
) -> UnitStatus {
    let incarnation = unit.incarnation;
    let idle = !(inputs.busy)(incarnation);
    let next_try = inputs.backoff.next_try(incarnation);
    let failure = || inputs.backoff.failure(incarnation).unwrap_or(UnitStatus::Busy);
    let Some(running) = running.filter(|running| !running.phase.has_exited()) else {
        if idle && is_due(plan, next_try, inputs.now) {
            plan.actions.push(Action::Start(spec(inputs, unit)));
        }
        return failure();
    };
    match running.phase {
        Phase::Ready if is_due(plan, inputs.backoff.ready_after(incarnation), inputs.now) => {
            let RunningUnit { pid, configuration, refused, .. } = running;
            let (pid, configuration, refused) = (*pid, *configuration, refused.clone());
            UnitStatus::Ready { pid, configuration, refused }
        }
        Phase::Ready => UnitStatus::Busy,
        Phase::Unresponsive => {
            if idle && next_try.is_some() && is_due(plan, next_try, inputs.now) {
                plan.actions.push(Action::Kill { unit: unit.unit.clone(), incarnation });
            }
            failure()
        }
        Phase::Starting | Phase::Unhealthy(_) | Phase::Draining | Phase::Exited(_) => failure(),
    }
}

/// Returns what the driver needs to start the unit, which serves as the others of its service do.
fn spec(inputs: &Inputs<'_>, unit: &DesiredUnit) -> UnitSpec {
    let spec = inputs.desired.spec(unit);
    match inputs.lingering.configuration(&unit.unit.service, inputs.now.instant) {
        Some(configuration) => UnitSpec { configuration: Arc::clone(configuration), ..spec },
        None => spec,
    }
}

/// Plans a unit that should drain. Returns the status to report, or `None` once the unit is gone.
fn plan_released(
    inputs: &Inputs<'_>,
    plan: &mut Plan,
    unit: &DesiredUnit,
    running: Option<&RunningUnit>,
) -> Option<UnitStatus> {
    if let Some(running) = running
        && (running.phase.has_exited()
            || is_due(plan, inputs.lingering.stop_at(unit.incarnation), inputs.now))
    {
        plan_stop(inputs, plan, running, StopReason::Released);
    }
    (running.is_some() || (inputs.busy)(unit.incarnation)).then_some(UnitStatus::Busy)
}

fn plan_stop(inputs: &Inputs<'_>, plan: &mut Plan, running: &RunningUnit, reason: StopReason) {
    let RunningUnit { unit, incarnation, phase, .. } = running;
    if inputs.confirmed && *phase != Phase::Draining && !(inputs.busy)(*incarnation) {
        let (unit, incarnation) = (unit.clone(), *incarnation);
        plan.actions.push(Action::Stop { unit, incarnation, reason });
    }
}

/// True if `time` is unset or has passed. Otherwise the plan wakes at `time`.
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
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;
