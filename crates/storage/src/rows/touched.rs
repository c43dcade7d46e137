//! Which rows of the state an entry can change: what is written after it, and what is put back if it
//! cannot be applied.

use std::collections::BTreeSet;

use meridian_domain::{Entry, Event, Origin, State, limits};

use super::Key;

/// Every row that applying `entry` to `state` can change. It may name more than change, never fewer.
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
    if known.len() + requests > limits::OUTCOMES {
        // Each new outcome pushes out the least id there is: one of these, or one that the entry
        // itself brings and that is named above.
        keys.extend(known.keys().take(requests).copied().map(Key::Outcome));
        keys.insert(Key::Forgotten);
    }
    keys
}

/// Names every row that `event` changes, but for the header, which every event changes. Matches
/// every event: a new one does not compile until somebody has thought of its rows.
fn by_event(state: &State, event: &Event, keys: &mut BTreeSet<Key>) {
    match event {
        Event::ClusterBootstrapped { .. }
        | Event::DataVersionRaised { .. }
        | Event::LimitsSet { .. }
        | Event::HistoryTrimmed { .. } => {}
        Event::RegionDefined { region } => drop(keys.insert(Key::Region(region.name.clone()))),
        Event::AgentRegistered { agent } | Event::AgentUpdated { agent } => {
            keys.insert(Key::Agent(agent.name.clone()));
        }
        Event::AgentDrained { agent } | Event::AgentUndrained { agent } => {
            keys.insert(Key::Agent(agent.clone()));
        }
        // Its units go with it. Those that the same entry assigned are named by their own events.
        Event::AgentRemoved { agent, .. } => {
            keys.insert(Key::Agent(agent.clone()));
            keys.extend(
                state.units_on(agent).map(|unit| Key::Unit(unit.id.clone(), unit.incarnation)),
            );
        }
        Event::ApiPublished { service, api } => {
            keys.insert(Key::Api(service.clone(), api.name.clone()));
            keys.insert(Key::Service(service.clone()));
        }
        Event::ApiRemoved { service, api } => {
            keys.insert(Key::Api(service.clone(), api.clone()));
            keys.insert(Key::Service(service.clone()));
        }
        // Its APIs go with it. Those that the same entry published are named by their own events.
        Event::ServiceDeleted { service } => {
            let apis = state.apis_of(service);
            keys.extend(apis.map(|api| Key::Api(service.clone(), api.name.clone())));
            keys.insert(Key::Service(service.clone()));
        }
        Event::ServiceCreated { service, .. }
        | Event::TierChanged { service, .. }
        | Event::PortChanged { service, .. }
        | Event::RegionAdded { service, .. }
        | Event::UnitsScaled { service, .. }
        | Event::ZonesChanged { service, .. }
        | Event::RegionRemoved { service, .. }
        | Event::PrimaryPromoted { service, .. }
        | Event::GatewayEnabled { service, .. }
        | Event::GatewayDisabled { service, .. }
        | Event::RollStarted { service, .. } => {
            keys.insert(Key::Service(service.clone()));
        }
        Event::UnitAssigned { unit, incarnation, .. }
        | Event::UnitReleased { unit, incarnation }
        | Event::UnitReady { unit, incarnation, .. }
        | Event::UnitFailed { unit, incarnation, .. }
        | Event::UnitStopped { unit, incarnation }
        | Event::UnitConfigured { unit, incarnation, .. } => {
            keys.insert(Key::Unit(unit.clone(), *incarnation));
        }
    }
}
