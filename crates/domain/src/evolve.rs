//! Applies events to the state. Never rejects: an event is a fact.
//!
//! An event that does not fit the state, such as one about a location of an unknown service,
//! violates an invariant and panics. The sequencer applies every batch to its own copy of the state
//! before it proposes the batch, so such an event never reaches the log.

mod losses;

use std::collections::BTreeMap;

use crate::agent::{Agent, AgentDescription};
use crate::api::Api;
use crate::entry::{Change, Entry, Origin};
use crate::event::{Event, Subject};
use crate::id::{Generation, Incarnation, Revision, Sequence, Timestamp, UnitId, Zones};
use crate::loss::Gateways;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::outcome::Outcome;
use crate::round_trip::MeasuredRoundTrip;
use crate::routing_policy::RoutingPolicy;
use crate::service::{Location, Service};
use crate::state::State;
use crate::tier::Tier;
use crate::unit::{RefusedConfiguration, Unit, UnitPhase};
use crate::when_disabled::WhenDisabled;

/// The entry was decided against another revision than the state has. The state is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("base revision mismatch: the entry has {base}, the state is at {revision}")]
pub struct BaseMismatch {
    /// Base revision of the entry.
    pub base: Revision,
    /// Revision of the state.
    pub revision: Revision,
}

/// Applies an entry of the log, or nothing of it if its base does not match.
///
/// # Errors
/// [`BaseMismatch`], identically on every node.
///
/// # Panics
/// If an event does not fit the state.
pub fn apply(state: &mut State, entry: &Entry) -> Result<(), BaseMismatch> {
    let revision = state.header.revision;
    if entry.base != revision {
        return Err(BaseMismatch { base: entry.base, revision });
    }
    begin_entry(state, entry.time);
    for change in &entry.changes {
        apply_change(state, change);
    }
    Ok(())
}

/// Advances the time of the state to that of an entry, decided at `now`, and clears the outcomes if
/// they are from the future. Returns true if it cleared them.
pub fn begin_entry(state: &mut State, now: Timestamp) -> bool {
    state.header.time = state.header.next_time(now);
    state.outcomes.clear_future(state.header.time)
}

/// Applies a decided command: its events, then its outcome.
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
        // The agent of a rejected report may have been removed.
        Origin::Report { agent, generation, sequence } => {
            if let Some(agent) = state.agents.get_mut(agent) {
                agent.last_report = agent.last_report.max((*generation, *sequence));
            }
        }
        Origin::System => {}
    }
}

/// Applies the event of `revision`, which must follow the revision of the state.
///
/// # Panics
/// If the event does not fit the state.
pub fn evolve(state: &mut State, revision: Revision, event: &Event) {
    assert_eq!(revision, state.header.revision.next(), "revisions are consecutive");
    state.header.revision = revision;
    apply_event(state, event);
    if let Subject::Service(name) = event.subject()
        && let Some(service) = state.services.get_mut(name)
    {
        service.revision = revision;
        if event.configures() {
            service.configuration = revision;
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each event, so that none is left out")]
fn apply_event(state: &mut State, event: &Event) {
    match event {
        Event::ClusterBootstrapped { cluster, data_version } => {
            state.header.cluster = Some(*cluster);
            state.header.data_version = *data_version;
        }
        Event::DataVersionRaised { version } => state.header.data_version = *version,
        Event::LimitsSet { limits } => state.header.limits = limits.clone(),
        Event::RegionDefined { region } => {
            state.regions.insert(region.name.clone(), region.clone());
        }
        Event::HistoryTrimmed { through } => state.header.trimmed = *through,

        Event::AgentRegistered { agent } => register_agent(state, agent),
        Event::AgentUpdated { agent } => {
            let known = &mut agent_mut(state, &agent.name).description;
            let has_moved = known.probed_host() != agent.probed_host();
            *known = agent.clone();
            if has_moved {
                state.losses.remove(&agent.name);
            }
        }
        Event::AgentDrained { agent } => agent_mut(state, agent).drained = true,
        Event::AgentUndrained { agent } => agent_mut(state, agent).drained = false,
        Event::AgentRemoved { agent, .. } => remove_agent(state, agent),

        Event::ServiceCreated { service, tier, primary, port } => {
            create_service(state, service, *tier, primary, *port);
        }
        Event::TierChanged { service, tier } => service_mut(state, service).tier = *tier,
        Event::PortChanged { service, port } => service_mut(state, service).port = *port,
        Event::ServiceDeleted { service } => delete_service(state, service),
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
            assign_unit(state, unit, *incarnation, agent);
        }
        Event::UnitReleased { unit, incarnation } => {
            set_phase(state, unit, *incarnation, UnitPhase::Draining);
        }
        Event::UnitReady { unit, incarnation, pid, configuration } => {
            let (pid, configuration, refused) = (*pid, *configuration, None);
            set_phase(state, unit, *incarnation, UnitPhase::Ready { pid, configuration, refused });
        }
        Event::UnitConfigured { unit, incarnation, configuration } => {
            set_configuration(state, unit, *incarnation, *configuration);
        }
        Event::UnitFailed { unit, incarnation, restarts, next_try, cause } => {
            let (restarts, next_try, cause) = (*restarts, *next_try, cause.clone());
            set_phase(state, unit, *incarnation, UnitPhase::Failed { restarts, next_try, cause });
        }
        Event::UnitStopped { unit, incarnation } => remove_unit(state, unit, *incarnation),

        Event::ApiPublished { service, api } => insert_api(state, service, api),
        Event::ApiRemoved { service, api } => remove_api(state, service, api),
        Event::RollStarted { service, region } => {
            let revision = state.header.revision;
            location_mut(state, service, region).rolled = revision;
        }
        Event::ClusterRecovered { epoch } => state.header.epoch = *epoch,
        Event::RoutingChanged { service, routing } => {
            service_mut(state, service).routing = *routing;
        }
        Event::WhenDisabledChanged { service, when_disabled } => {
            service_mut(state, service).when_disabled = *when_disabled;
        }
        Event::PreferenceChanged { service, region, preference } => {
            location_mut(state, service, region).preference = *preference;
        }
        Event::DnsSet { settings } => state.header.dns = settings.clone(),
        Event::NetworkAssigned { network, region } => {
            state.networks.insert(*network, region.clone());
        }
        Event::NetworkRemoved { network } => {
            state.networks.remove(network).expect("a removed network is assigned");
        }
        Event::RoundTripMeasured { one, other, micros } => {
            let measured = MeasuredRoundTrip { micros: *micros, recorded: state.header.time };
            state.round_trips.insert((one.clone(), other.clone()), measured);
        }
        Event::GatewaysLost { agent, gateways, evidence, relapses } => {
            losses::lose(state, agent, gateways, evidence, *relapses);
        }
        Event::GatewaysFound { agent, gateways } => losses::find(state, agent, gateways),
        Event::UnitRefused { unit, incarnation, configuration, cause } => {
            set_refusal(state, unit, *incarnation, (*configuration, cause));
        }
    }
}

fn set_phase(state: &mut State, unit: &UnitId, incarnation: Incarnation, phase: UnitPhase) {
    unit_mut(state, unit, incarnation).phase = phase;
}

fn set_configuration(
    state: &mut State,
    unit: &UnitId,
    incarnation: Incarnation,
    revision: Revision,
) {
    let (served, refused) = ready_mut(state, unit, incarnation);
    (*served, *refused) = (revision, None);
}

fn set_refusal(
    state: &mut State,
    unit: &UnitId,
    incarnation: Incarnation,
    (configuration, cause): (Revision, &str),
) {
    let (_, refused) = ready_mut(state, unit, incarnation);
    *refused = Some(RefusedConfiguration { configuration, cause: cause.to_owned() });
}

/// Returns the configuration of a ready unit, and the one that it refused.
fn ready_mut<'a>(
    state: &'a mut State,
    unit: &UnitId,
    incarnation: Incarnation,
) -> (&'a mut Revision, &'a mut Option<RefusedConfiguration>) {
    match &mut unit_mut(state, unit, incarnation).phase {
        UnitPhase::Ready { configuration, refused, .. } => (configuration, refused),
        phase @ (UnitPhase::Starting | UnitPhase::Failed { .. } | UnitPhase::Draining) => {
            panic!("only a ready unit has a configuration; this one is {phase:?}")
        }
    }
}

fn insert_api(state: &mut State, service: &ServiceName, api: &Api) {
    state.apis.insert((service.clone(), api.name.clone()), api.clone());
}

fn remove_api(state: &mut State, service: &ServiceName, api: &ApiName) {
    let removed = state.apis.remove(&(service.clone(), api.clone()));
    removed.expect("a removed API exists");
}

fn register_agent(state: &mut State, description: &AgentDescription) {
    let registered = Agent {
        description: description.clone(),
        drained: false,
        registered: state.header.revision,
        last_report: (Generation(0), Sequence(0)),
    };
    state.agents.insert(description.name.clone(), registered);
}

fn remove_agent(state: &mut State, agent: &AgentName) {
    state.agents.remove(agent).expect("a removed agent is registered");
    state.losses.remove(agent);
    state.header.dns.name_servers.retain(|name| name != agent);
    state.units.retain(|_, unit| unit.agent != *agent);
}

fn create_service(
    state: &mut State,
    name: &ServiceName,
    tier: Tier,
    primary: &RegionName,
    port: u16,
) {
    let created = Service {
        name: name.clone(),
        tier,
        primary: primary.clone(),
        port,
        routing: RoutingPolicy::default(),
        when_disabled: WhenDisabled::default(),
        locations: BTreeMap::new(),
        revision: state.header.revision,
        configuration: state.header.revision,
    };
    state.services.insert(name.clone(), created);
}

fn delete_service(state: &mut State, service: &ServiceName) {
    let deleted = state.services.remove(service);
    deleted.expect("a deleted service exists");
    release_all(state, service, None);
    state.apis.retain(|(owner, _), _| owner != service);
    // A later service of that name has gateways of its own.
    let gateways = Gateways::Of(service.clone());
    state.losses.retain(|_, losses| {
        losses.remove(&gateways);
        !losses.is_empty()
    });
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
    removed.expect("a removed location exists");
    release_all(state, service, Some(region));
}

/// Releases every unit of a service, or of one of its locations.
fn release_all(state: &mut State, service: &ServiceName, region: Option<&RegionName>) {
    let first = region.cloned().unwrap_or_else(RegionName::min);
    let first = UnitId { service: service.clone(), region: first, slot: 0 };
    let units = state.units.range_mut((first, Incarnation(0))..).map(|(_, unit)| unit);
    let is_due = |unit: &&mut Unit| {
        unit.id.service == *service && region.is_none_or(|region| unit.id.region == *region)
    };
    units.take_while(is_due).for_each(|unit| unit.phase = UnitPhase::Draining);
}

fn assign_unit(state: &mut State, id: &UnitId, incarnation: Incarnation, agent: &AgentName) {
    let assigned = Unit {
        id: id.clone(),
        incarnation,
        agent: agent.clone(),
        port: service_mut(state, &id.service).port,
        phase: UnitPhase::Starting,
    };
    state.units.insert((id.clone(), incarnation), assigned);
}

fn remove_unit(state: &mut State, unit: &UnitId, incarnation: Incarnation) {
    let stopped = state.units.remove(&(unit.clone(), incarnation));
    stopped.expect("a stopped unit is assigned");
}

fn agent_mut<'a>(state: &'a mut State, name: &AgentName) -> &'a mut Agent {
    state.agents.get_mut(name).expect("the agent of an event is registered")
}

fn service_mut<'a>(state: &'a mut State, name: &ServiceName) -> &'a mut Service {
    state.services.get_mut(name).expect("the service of an event exists")
}

fn location_mut<'a>(
    state: &'a mut State,
    service: &ServiceName,
    region: &RegionName,
) -> &'a mut Location {
    let location = service_mut(state, service).locations.get_mut(region);
    location.expect("the location of an event exists")
}

fn unit_mut<'a>(state: &'a mut State, unit: &UnitId, incarnation: Incarnation) -> &'a mut Unit {
    let unit = state.units.get_mut(&(unit.clone(), incarnation));
    unit.expect("the unit of an event is assigned")
}
