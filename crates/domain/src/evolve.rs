//! What each event does to the state. Never refuses: an event is a fact.
//!
//! An event that does not fit the state it meets (a location of a service that is not there) is a
//! broken invariant and panics; the sequencer folds every batch before it proposes it, so such an
//! event never reaches the log.

use std::collections::BTreeMap;

use crate::agent::{Agent, AgentDescription};
use crate::api::Api;
use crate::entry::{Change, Entry, Origin};
use crate::event::{Event, Subject};
use crate::id::{Generation, Incarnation, Revision, Sequence, UnitId, Zones};
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::outcome::Outcome;
use crate::service::{Location, Service};
use crate::state::State;
use crate::tier::Tier;
use crate::unit::{Unit, UnitPhase};

/// The entry was decided against another state than the one it met. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry was decided at revision {base}, and the state is at {revision}")]
pub struct BaseMismatch {
    /// What the entry was decided against.
    pub base: Revision,
    /// What it met.
    pub revision: Revision,
}

/// Applies one entry of the log: all of it, or, where its base does not match, nothing of it.
///
/// # Errors
/// [`BaseMismatch`], on every node alike.
///
/// # Panics
/// If an event does not fit the state.
pub fn apply(state: &mut State, entry: &Entry) -> Result<(), BaseMismatch> {
    let revision = state.header.revision;
    if entry.base != revision {
        return Err(BaseMismatch { base: entry.base, revision });
    }
    state.header.time = state.header.time.max(entry.time);
    for change in &entry.changes {
        apply_change(state, change);
    }
    Ok(())
}

/// Applies one decided command: its events, then its outcome.
///
/// # Panics
/// If an event does not fit the state.
pub fn apply_change(state: &mut State, change: &Change) {
    let base = state.header.revision;
    for event in &change.events {
        evolve(state, state.header.revision.next(), event);
    }
    match &change.origin {
        Origin::Operator { request, digest, .. } => {
            let outcome = Outcome {
                digest: *digest,
                verdict: change.verdict.clone(),
                base,
                revision: state.header.revision,
            };
            state.outcomes.record(*request, outcome);
        }
        // A report of an agent that was removed meanwhile was rejected, and leaves no trace.
        Origin::Report { agent, generation, sequence } => {
            if let Some(agent) = state.agents.get_mut(agent) {
                agent.last_report = agent.last_report.max((*generation, *sequence));
            }
        }
        Origin::System => {}
    }
}

/// Applies the event with number `revision`.
///
/// # Panics
/// If the event does not fit the state.
pub fn evolve(state: &mut State, revision: Revision, event: &Event) {
    assert_eq!(revision, state.header.revision.next(), "events are numbered without a gap");
    state.header.revision = revision;
    change(state, event);
    if let Subject::Service(name) = event.subject()
        && let Some(service) = state.services.get_mut(name)
    {
        service.revision = revision;
        if event.configures() {
            service.configuration = revision;
        }
    }
}

fn change(state: &mut State, event: &Event) {
    match event {
        Event::ClusterFounded { cluster, data_version } => {
            state.header.cluster = Some(*cluster);
            state.header.data_version = *data_version;
        }
        Event::DataVersionRaised { version } => state.header.data_version = *version,
        Event::LimitsSet { limits } => state.header.limits = limits.clone(),
        Event::RegionDefined { region } => {
            state.regions.insert(region.name.clone(), region.clone());
        }
        Event::HistoryTrimmed { through } => state.header.trimmed = *through,

        Event::AgentRegistered { agent } => register(state, agent),
        Event::AgentUpdated { agent } => agent_mut(state, &agent.name).description = agent.clone(),
        Event::AgentDrained { agent } => agent_mut(state, agent).drained = true,
        Event::AgentUndrained { agent } => agent_mut(state, agent).drained = false,
        Event::AgentRemoved { agent, .. } => forget(state, agent),

        Event::ServiceCreated { service, tier, primary, port } => {
            create(state, service, *tier, primary, *port);
        }
        Event::TierChanged { service, tier } => service_mut(state, service).tier = *tier,
        Event::PortChanged { service, port } => service_mut(state, service).port = *port,
        Event::ServiceDeleted { service } => delete(state, service),
        Event::RegionAdded { service, region, units, zones } => {
            add_location(state, service, region, *units, zones);
        }
        Event::UnitsScaled { service, region, units } => {
            location_mut(state, service, region).units = *units;
        }
        Event::ZonesChanged { service, region, zones } => {
            location_mut(state, service, region).zones = zones.clone();
        }
        Event::RegionRemoved { service, region } => remove_location(state, service, region),
        Event::PrimaryPromoted { service, region } => {
            service_mut(state, service).primary = region.clone();
        }
        Event::GatewayEnabled { service, region } => {
            location_mut(state, service, region).gateway_enabled = true;
        }
        Event::GatewayDisabled { service, region } => {
            location_mut(state, service, region).gateway_enabled = false;
        }

        Event::UnitAssigned { unit, incarnation, agent } => {
            assign(state, unit, *incarnation, agent);
        }
        Event::UnitReleased { unit, incarnation } => {
            enter(state, unit, *incarnation, UnitPhase::Draining);
        }
        Event::UnitReady { unit, incarnation, pid, configuration } => {
            let (pid, configuration) = (*pid, *configuration);
            enter(state, unit, *incarnation, UnitPhase::Ready { pid, configuration });
        }
        Event::UnitConfigured { unit, incarnation, configuration } => {
            configure(state, unit, *incarnation, *configuration);
        }
        Event::UnitFailed { unit, incarnation, restarts, next_try, cause } => {
            let (restarts, next_try, cause) = (*restarts, *next_try, cause.clone());
            enter(state, unit, *incarnation, UnitPhase::Failed { restarts, next_try, cause });
        }
        Event::UnitStopped { unit, incarnation } => stop(state, unit, *incarnation),

        Event::ApiPublished { service, api } => publish(state, service, api),
        Event::ApiRemoved { service, api } => unpublish(state, service, api),
        Event::RollStarted { service, region } => {
            let revision = state.header.revision;
            location_mut(state, service, region).rolled = revision;
        }
    }
}

fn enter(state: &mut State, unit: &UnitId, incarnation: Incarnation, phase: UnitPhase) {
    unit_mut(state, unit, incarnation).phase = phase;
}

fn configure(state: &mut State, unit: &UnitId, incarnation: Incarnation, revision: Revision) {
    let unit = unit_mut(state, unit, incarnation);
    let UnitPhase::Ready { configuration, .. } = &mut unit.phase else {
        panic!("a unit that is {:?} serves no configuration", unit.phase);
    };
    *configuration = revision;
}

fn publish(state: &mut State, service: &ServiceName, api: &Api) {
    state.apis.insert((service.clone(), api.name.clone()), api.clone());
}

fn unpublish(state: &mut State, service: &ServiceName, api: &ApiName) {
    let removed = state.apis.remove(&(service.clone(), api.clone()));
    removed.expect("a removed API was published");
}

fn register(state: &mut State, description: &AgentDescription) {
    let registered = Agent {
        description: description.clone(),
        drained: false,
        registered: state.header.revision,
        last_report: (Generation(0), Sequence(0)),
    };
    state.agents.insert(description.name.clone(), registered);
}

fn forget(state: &mut State, agent: &AgentName) {
    state.agents.remove(agent).expect("a removed agent was registered");
    state.units.retain(|_, unit| unit.agent != *agent);
}

fn create(state: &mut State, name: &ServiceName, tier: Tier, primary: &RegionName, port: u16) {
    let created = Service {
        name: name.clone(),
        tier,
        primary: primary.clone(),
        port,
        locations: BTreeMap::new(),
        revision: state.header.revision,
        configuration: state.header.revision,
    };
    state.services.insert(name.clone(), created);
}

fn delete(state: &mut State, service: &ServiceName) {
    let deleted = state.services.remove(service);
    deleted.expect("a deleted service existed");
    state.apis.retain(|(owner, _), _| owner != service);
}

fn add_location(
    state: &mut State,
    service: &ServiceName,
    region: &RegionName,
    units: u16,
    zones: &Zones,
) {
    let location = Location::new(units, zones.clone());
    service_mut(state, service).locations.insert(region.clone(), location);
}

fn remove_location(state: &mut State, service: &ServiceName, region: &RegionName) {
    let removed = service_mut(state, service).locations.remove(region);
    removed.expect("a removed region was a location");
}

fn assign(state: &mut State, id: &UnitId, incarnation: Incarnation, agent: &AgentName) {
    let assigned = Unit {
        id: id.clone(),
        incarnation,
        agent: agent.clone(),
        port: service_mut(state, &id.service).port,
        phase: UnitPhase::Starting,
    };
    state.units.insert((id.clone(), incarnation), assigned);
}

fn stop(state: &mut State, unit: &UnitId, incarnation: Incarnation) {
    let stopped = state.units.remove(&(unit.clone(), incarnation));
    stopped.expect("a stopped unit was assigned");
}

fn agent_mut<'a>(state: &'a mut State, name: &AgentName) -> &'a mut Agent {
    state.agents.get_mut(name).expect("an agent's event follows its registration")
}

fn service_mut<'a>(state: &'a mut State, name: &ServiceName) -> &'a mut Service {
    state.services.get_mut(name).expect("a service's event follows its creation")
}

fn location_mut<'a>(
    state: &'a mut State,
    service: &ServiceName,
    region: &RegionName,
) -> &'a mut Location {
    let location = service_mut(state, service).locations.get_mut(region);
    location.expect("a location's event follows its addition")
}

fn unit_mut<'a>(state: &'a mut State, unit: &UnitId, incarnation: Incarnation) -> &'a mut Unit {
    let unit = state.units.get_mut(&(unit.clone(), incarnation));
    unit.expect("a unit's event follows its assignment")
}
