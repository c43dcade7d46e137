//! What an agent says of its units becomes the events by which the state is behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::agent::unknown_agent;
use super::decision::Decision;
use super::{placing, roll};
use crate::event::Event;
use crate::id::{Incarnation, Revision, UnitId};
use crate::limits;
use crate::rejection::Rejection;
use crate::report::{Report, UnitStatus};
use crate::unit::{Unit, UnitPhase};

/// Takes in a report. Rows about units that the state does not have on that agent are dropped: they
/// tell of an incarnation that ended, or of a unit that moved.
pub(super) fn take_in(decision: &mut Decision<'_>, report: &Report) {
    let state = decision.state;
    let Some(agent) = state.agents.get(&report.agent) else {
        return decision.refuse(unknown_agent(state, &report.agent));
    };
    if (report.generation, report.sequence) <= agent.last_report {
        return decision.refuse(Rejection::StaleReport { agent: report.agent.clone() });
    }
    if report.units.len() > limits::UNITS_PER_REPORT {
        return decision.refuse(Rejection::ReportTooLong {
            agent: report.agent.clone(),
            given: u32::try_from(report.units.len()).unwrap_or(u32::MAX),
            most: limits::UNITS_PER_REPORT as u32,
        });
    }
    let reported: BTreeMap<(&UnitId, Incarnation), &UnitStatus> =
        report.units.iter().map(|row| ((&row.unit, row.incarnation), &row.status)).collect();
    let (mut ready, mut locations) = (Vec::new(), BTreeSet::new());
    for unit in state.units_on(&report.agent) {
        let status = reported.get(&(&unit.id, unit.incarnation)).copied();
        let event = match status {
            Some(status) if unit.is_wanted() => follow(unit, status),
            // A unit on its way out is of interest only once it is gone.
            Some(_) => None,
            None => missing(unit, report),
        };
        let Some(event) = event else { continue };
        if matches!(event, Event::UnitReady { .. }) {
            ready.push(unit);
        }
        locations.insert((unit.id.service.clone(), unit.id.region.clone()));
        decision.happens(event);
    }
    for unit in &ready {
        placing::supersede(decision, unit);
    }
    roll::follow(decision, locations.into_iter(), &ready);
}

/// A released unit that the agent does not have is gone, unless the agent had not even heard of it
/// when it looked. A wanted one is still to be started.
fn missing(unit: &Unit, report: &Report) -> Option<Event> {
    let heard_of = unit.incarnation.0 <= report.observed.0;
    let stopped = Event::UnitStopped { unit: unit.id.clone(), incarnation: unit.incarnation };
    (!unit.is_wanted() && heard_of).then_some(stopped)
}

fn follow(unit: &Unit, status: &UnitStatus) -> Option<Event> {
    match status {
        UnitStatus::Busy => None,
        UnitStatus::Ready { pid, configuration } => ready(unit, *pid, *configuration),
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

/// What it says of a unit that the state knows as ready, too, can only be news of what it serves.
fn ready(unit: &Unit, pid: Option<u32>, configuration: Revision) -> Option<Event> {
    let (id, incarnation) = (unit.id.clone(), unit.incarnation);
    match unit.phase {
        UnitPhase::Ready { pid: known, configuration: serves } if known == pid => (serves
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

/// Starts that failed in a row, as far as the state knows, if the last one did.
fn failures(unit: &Unit) -> Option<u32> {
    match unit.phase {
        UnitPhase::Failed { restarts, .. } => Some(restarts),
        UnitPhase::Starting | UnitPhase::Ready { .. } | UnitPhase::Draining => None,
    }
}
