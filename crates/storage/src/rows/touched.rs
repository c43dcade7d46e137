//! Rows of the state that an entry can change: they are written after it is applied, and restored
//! if it cannot be applied.

use std::collections::BTreeSet;

use meridian_domain::event::Row;
use meridian_domain::reachability::Gateways;
use meridian_domain::{Entry, Event, Origin, State, Unit, limits};

use super::Key;

/// Returns the keys of all rows that applying `entry` to `state` can change. May include rows that
/// do not change; never omits one that does.
#[must_use]
pub fn by_entry(state: &State, entry: &Entry) -> BTreeSet<Key> {
    let mut keys = BTreeSet::from([Key::Header]);
    let mut requests = 0;
    for change in &entry.changes {
        match &change.origin {
            Origin::Operator { request, .. } => {
                requests += 1;
                keys.insert(Key::Outcome(*request));
            }
            Origin::Report { agent, .. } => drop(keys.insert(Key::Agent(agent.clone()))),
            Origin::System => {}
        }
        change.events.iter().for_each(|event| by_event(state, event, &mut keys));
    }
    let known = &state.outcomes.by_request;
    if clears_outcomes(state, entry) {
        keys.extend(known.keys().copied().map(Key::Outcome));
        keys.insert(Key::Forgotten);
    }
    if known.len() + requests > limits::OUTCOMES {
        // Each new outcome evicts the smallest id: one of these, or one of the entry itself, whose
        // key is already included.
        keys.extend(known.keys().take(requests).copied().map(Key::Outcome));
        keys.insert(Key::Forgotten);
    }
    keys
}

/// Returns true if applying `entry` to `state` clears the recorded outcomes.
#[must_use]
pub fn clears_outcomes(state: &State, entry: &Entry) -> bool {
    let time = state.header.next_time(entry.time);
    entry.base == state.header.revision && state.outcomes.is_in_future(time)
}

/// Adds the keys of every row that `event` changes, besides the header. Rows that the same entry
/// creates are added by the events that create them.
fn by_event(state: &State, event: &Event, keys: &mut BTreeSet<Key>) {
    for row in event.rows() {
        match row {
            Row::Region(region) => drop(keys.insert(Key::Region(region.clone()))),
            Row::Network(network) => drop(keys.insert(Key::Network(network))),
            Row::RoundTrip(one, other) => {
                keys.insert(Key::RoundTrip(one.clone(), other.clone()));
            }
            Row::Losses(agent) => drop(keys.insert(Key::Losses(agent.clone()))),
            Row::Agent(agent) => drop(keys.insert(Key::Agent(agent.clone()))),
            Row::UnitsOf(agent) => keys.extend(state.units_on(agent).map(unit_key)),
            Row::UnitsOfService(service) => {
                keys.extend(state.units_of_service(service).map(unit_key));
            }
            Row::LossesOf(service) => {
                let gateways = Gateways::Of(service.clone());
                let lost = state.losses.iter().filter(|(_, losses)| losses.contains_key(&gateways));
                keys.extend(lost.map(|(agent, _)| Key::Losses(agent.clone())));
            }
            Row::UnitsIn(service, region) => {
                keys.extend(state.units_of(service, region).map(unit_key));
            }
            Row::Service(service) => drop(keys.insert(Key::Service(service.clone()))),
            Row::ApisOf(service) => {
                let apis = state.apis_of(service);
                keys.extend(apis.map(|api| Key::Api(service.clone(), api.name.clone())));
            }
            Row::Api(service, api) => drop(keys.insert(Key::Api(service.clone(), api.clone()))),
            Row::Unit(unit, incarnation) => {
                keys.insert(Key::Unit(unit.clone(), incarnation));
            }
        }
    }
}

fn unit_key(unit: &Unit) -> Key {
    Key::Unit(unit.id.clone(), unit.incarnation)
}
