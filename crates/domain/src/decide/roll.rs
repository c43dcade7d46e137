//! Rolls the units of a location: replaces them one after another without lowering its capacity.
//!
//! `RollStarted` marks the units to replace: those assigned before it. Whenever a report leaves
//! every replacement in the location ready, the next unit is replaced. So a roll needs no
//! controller, continues under a new leader, and pauses while a replacement does not become ready.

use super::assignment;
use super::decision::Decision;
use super::service;
use crate::event::Event;
use crate::id::{Incarnation, Revision};
use crate::name::{RegionName, ServiceName};
use crate::rejection::Rejection;
use crate::service::Location;
use crate::unit::Unit;

pub(super) fn start(decision: &mut Decision<'_>, name: &ServiceName, region: Option<&RegionName>) {
    let Some(service) = service::find(decision, name, None) else {
        return;
    };
    if let Some(region) = region.filter(|region| !service.locations.contains_key(*region)) {
        let (service, region) = (name.clone(), region.clone());
        return decision.reject(Rejection::RegionAbsent { service, region });
    }
    let rolled = service.locations.keys().filter(|name| region.is_none_or(|only| only == *name));
    for region in rolled {
        let since = decision.next_revision();
        let (service, region) = (name.clone(), region.clone());
        decision.emit(Event::RollStarted { service: service.clone(), region: region.clone() });
        advance(decision, &service, &region, since, &[]);
    }
}

/// Advances the rolls of the locations with reported changes. `ready` has the units that became
/// ready by the same report.
pub(super) fn resume(
    decision: &mut Decision<'_>,
    reported: impl Iterator<Item = (ServiceName, RegionName)>,
    ready: &[&Unit],
) {
    let state = decision.state;
    for (service, region) in reported {
        let row = state.services.get(&service).and_then(|row| row.locations.get(&region));
        if let Some(Location { rolled, .. }) = row.filter(|row| row.rolled > Revision(0)) {
            advance(decision, &service, &region, *rolled, ready);
        }
    }
}

/// Replaces the next unit assigned before `since`, unless a replacement is not ready yet.
fn advance(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    region: &RegionName,
    since: Revision,
    ready: &[&Unit],
) {
    let state = decision.state;
    let is_ready = |unit: &Unit| unit.is_ready() || ready.contains(&unit);
    let is_new = |unit: &Unit| unit.incarnation > Incarnation(since.0);
    let current: Vec<&Unit> = state.current_units(service, region).collect();
    if current.iter().any(|unit| is_new(unit) && !is_ready(unit)) {
        return;
    }
    let due = current.into_iter().filter(|unit| !is_new(unit));
    // Units that are not ready go first: replacing them does not reduce the capacity.
    if let Some(next) = due.min_by_key(|unit| (is_ready(unit), unit.id.slot)) {
        assignment::replace(decision, next, is_ready(next), next.agent.clone());
    }
}
