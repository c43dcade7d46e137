//! Turns the differences between an agent's report and the state into events.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::Decision;
use super::{assignment, roll};
use crate::event::Event;
use crate::id::{Incarnation, Revision, UnitId};
use crate::limits;
use crate::rejection::Rejection;
use crate::report::{Report, ReportedUnit, UnitStatus};
use crate::state::State;
use crate::unit::{RefusedConfiguration, Unit, UnitPhase};
use crate::unknown;

/// Applies a report. Rows about units that the state does not have on that agent are ignored: their
/// incarnation ended, or the unit moved.
///
/// A change that is full leaves the other differences for the next report, which has them again. A
/// report without differences continues the placement of the agent's region: agents send one if it
/// would.
pub(super) fn apply(decision: &mut Decision<'_>, report: &Report) {
    let state = decision.state;
    let Some(agent) = state.agents.get(&report.agent) else {
        return decision.reject(unknown::agent(state, &report.agent));
    };
    if (report.generation, report.sequence) <= agent.last_report {
        return decision.reject(Rejection::StaleReport { agent: report.agent.clone() });
    }
    if report.units.len() > limits::UNITS_PER_REPORT {
        return decision.reject(Rejection::ReportTooLong {
            agent: report.agent.clone(),
            actual: u32::try_from(report.units.len()).unwrap_or(u32::MAX),
            max: limits::UNITS_PER_REPORT as u32,
        });
    }
    let reported: BTreeMap<(&UnitId, Incarnation), &ReportedUnit> =
        report.units.iter().map(|row| ((&row.unit, row.incarnation), row)).collect();
    let (mut ready, mut locations, mut replaced) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for unit in state.units_on(&report.agent) {
        if decision.is_full() {
            break;
        }
        let row = reported.get(&(&unit.id, unit.incarnation)).copied();
        let event = match row {
            Some(row) if unit.is_wanted() => changed(unit, &row.status),
            // A draining unit matters only once it has stopped.
            Some(_) => None,
            None => stopped(unit, report),
        };
        let location = || (unit.id.service.clone(), unit.id.region.clone());
        if let Some(event) = event {
            let is_ready = matches!(event, Event::UnitReady { .. });
            locations.insert(location());
            decision.emit(event);
            if is_ready {
                ready.push(unit);
                assignment::release_older(decision, unit);
            }
        }
        if row.is_some_and(|row| row.replace) && agent.takes_units() && is_current(state, unit) {
            let serves = row.is_some_and(|row| matches!(row.status, UnitStatus::Ready { .. }));
            assignment::replace(decision, unit, serves, report.agent.clone());
            replaced.insert(location());
        }
    }
    // Where a unit was replaced, a roll continues once its replacement is ready.
    roll::resume(decision, locations.difference(&replaced).cloned(), &ready);
    if decision.events().is_empty() {
        assignment::resume(decision, &agent.description.region);
    }
}

/// True if the unit is wanted and no newer assignment of its slot exists.
fn is_current(state: &State, unit: &Unit) -> bool {
    let newest = state.current_units(&unit.id.service, &unit.id.region);
    newest.into_iter().any(|other| other == unit)
}

/// Returns the event for a unit that is missing from the report. A released unit has stopped,
/// unless the agent had not yet observed its assignment. Any other unit has yet to be started.
fn stopped(unit: &Unit, report: &Report) -> Option<Event> {
    let after = unit.incarnation > report.after;
    let observed = after && unit.incarnation.0 <= report.observed.0;
    let stopped = Event::UnitStopped { unit: unit.id.clone(), incarnation: unit.incarnation };
    (!unit.is_wanted() && observed).then_some(stopped)
}

/// Returns the event for a unit whose reported status differs from its phase.
fn changed(unit: &Unit, status: &UnitStatus) -> Option<Event> {
    match status {
        UnitStatus::Busy => None,
        UnitStatus::Ready { pid, configuration, refused } => {
            ready(unit, *pid, *configuration).or_else(|| newly_refused(unit, refused.as_ref()?))
        }
        UnitStatus::Failed { restarts, next_try, cause } => (failures(unit) != Some(*restarts))
            .then(|| Event::UnitFailed {
                unit: unit.id.clone(),
                incarnation: unit.incarnation,
                restarts: *restarts,
                next_try: *next_try,
                cause: cause.chars().take(limits::CAUSE_CHARS).collect(),
            }),
    }
}

/// Returns the event for a unit that is reported as ready. If the state has the same process as
/// ready, only its configuration can have changed.
fn ready(unit: &Unit, pid: Option<u32>, configuration: Revision) -> Option<Event> {
    let (id, incarnation) = (unit.id.clone(), unit.incarnation);
    match unit.phase {
        UnitPhase::Ready { pid: known, configuration: served, .. } if known == pid => (served
            != configuration)
            .then_some(Event::UnitConfigured { unit: id, incarnation, configuration }),
        UnitPhase::Starting
        | UnitPhase::Ready { .. }
        | UnitPhase::Failed { .. }
        | UnitPhase::Draining => {
            Some(Event::UnitReady { unit: id, incarnation, pid, configuration })
        }
    }
}

/// Returns the event for a configuration that a ready unit refuses, unless the state has it. Later
/// causes are not recorded: they may contain the time, and the log would grow with every attempt.
fn newly_refused(unit: &Unit, refusal: &RefusedConfiguration) -> Option<Event> {
    let cause: String = refusal.cause.chars().take(limits::CAUSE_CHARS).collect();
    let configuration = refusal.configuration;
    let known = unit.refused().map(|refusal| refusal.configuration);
    (known != Some(configuration)).then(|| Event::UnitRefused {
        unit: unit.id.clone(),
        incarnation: unit.incarnation,
        configuration,
        cause,
    })
}

/// Returns the number of consecutive failed starts of a failed unit.
fn failures(unit: &Unit) -> Option<u32> {
    match unit.phase {
        UnitPhase::Failed { restarts, .. } => Some(restarts),
        UnitPhase::Starting | UnitPhase::Ready { .. } | UnitPhase::Draining => None,
    }
}
