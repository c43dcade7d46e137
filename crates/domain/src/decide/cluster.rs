//! Bootstrap, recovery, data version, limits, custom regions and history.

use super::agent;
use super::decision::Decision;
use crate::agent::AgentDescription;
use crate::catalog::{self, Region};
use crate::event::Event;
use crate::id::{ClusterId, DataVersion, Epoch, Revision};
use crate::limits::{self, Limits};
use crate::rejection::Rejection;

/// Maximum latitude in microdegrees, north or south.
const MAX_LATITUDE: u32 = 90_000_000;
/// Maximum longitude in microdegrees, east or west.
const MAX_LONGITUDE: u32 = 180_000_000;

pub(super) fn bootstrap(
    decision: &mut Decision<'_>,
    cluster: ClusterId,
    agents: &[AgentDescription],
) {
    match decision.state.header.cluster {
        None => {
            let data_version = DataVersion::SUPPORTED;
            decision.emit(Event::ClusterBootstrapped { cluster, data_version });
            for agent in agents {
                agent::register_initial(decision, agent);
            }
        }
        Some(current) if current == cluster => {}
        Some(current) => decision.reject(Rejection::AlreadyBootstrapped { cluster: current }),
    }
}

pub(super) fn raise_data_version(decision: &mut Decision<'_>, requested: DataVersion) {
    let state = decision.state;
    let current = state.header.data_version;
    if requested <= current {
        return decision.reject(Rejection::DataVersionNotNewer { current });
    }
    if requested > DataVersion::SUPPORTED {
        let newest = DataVersion::SUPPORTED;
        decision.reject(Rejection::DataVersionUnknown { requested, newest });
    }
    for (name, agent) in &state.agents {
        let supports = agent.description.supports;
        if supports < requested {
            let agent = name.clone();
            decision.reject(Rejection::DataVersionUnsupported { agent, supports, requested });
        }
    }
    decision.emit(Event::DataVersionRaised { version: requested });
}

pub(super) fn set_limits(decision: &mut Decision<'_>, requested: &Limits) {
    let state = decision.state;
    if *requested == state.header.limits {
        return;
    }
    let max = limits::MAX_UNITS_PER_LOCATION;
    check_range(decision, "developer_units", requested.developer_units, max);
    check_range(decision, "basic_units", requested.basic_units, max);
    check_range(decision, "standard_units", requested.standard_units, max);
    check_range(decision, "premium_units", requested.premium_units, max);
    check_range(decision, "voters", requested.voters.into(), limits::MAX_VOTERS.into());
    if requested.voters.is_multiple_of(2) {
        decision.reject(Rejection::VotersEven { requested: requested.voters });
    }
    for service in state.services.values() {
        let limit = requested.units(service.tier);
        for (region, location) in &service.locations {
            if location.units > limit {
                decision.reject(Rejection::LimitBelowUse {
                    service: service.name.clone(),
                    region: region.clone(),
                    units: location.units,
                    tier: service.tier,
                    limit,
                });
            }
        }
    }
    decision.emit(Event::LimitsSet { limits: requested.clone() });
}

fn check_range(decision: &mut Decision<'_>, limit: &str, requested: u16, max: u16) {
    if !(1..=max).contains(&requested) {
        let limit = limit.to_owned();
        decision.reject(Rejection::LimitOutOfRange { limit, min: 1, max, requested });
    }
}

pub(super) fn define_region(decision: &mut Decision<'_>, region: &Region) {
    let known = &decision.state.regions;
    if known.get(&region.name) == Some(region) {
        return;
    }
    if catalog::region(&region.name).is_some() {
        decision.reject(Rejection::RegionInCatalog { region: region.name.clone() });
    }
    if !known.contains_key(&region.name) && known.len() >= limits::CUSTOM_REGIONS {
        let resource = "custom regions".to_owned();
        decision.reject(Rejection::TooMany { resource, max: limits::CUSTOM_REGIONS as u32 });
    }
    if region.latitude_microdegrees.unsigned_abs() > MAX_LATITUDE
        || region.longitude_microdegrees.unsigned_abs() > MAX_LONGITUDE
    {
        decision.reject(Rejection::CoordinatesOutOfRange { region: region.name.clone() });
    }
    // The text is stored with its surrounding spaces, so they count.
    let characters = region.display_name.chars().count();
    let blank = region.display_name.trim().is_empty();
    if blank || characters > limits::DISPLAY_NAME_CHARS {
        decision.reject(Rejection::DisplayNameLength { region: region.name.clone() });
    }
    if region.display_name.chars().any(char::is_control) {
        decision.reject(Rejection::DisplayNameControl { region: region.name.clone() });
    }
    decision.emit(Event::RegionDefined { region: region.clone() });
}

pub(super) fn trim_history(decision: &mut Decision<'_>, through: Revision) {
    let header = &decision.state.header;
    let last = header.revision;
    if through > last {
        return decision.reject(Rejection::TrimBeyondEnd { through, last });
    }
    let end_of_segment = Revision(through.0 - through.0 % limits::SEGMENT_EVENTS);
    if end_of_segment > header.trimmed {
        decision.emit(Event::HistoryTrimmed { through: end_of_segment });
    }
}

pub(super) fn record_recovery(decision: &mut Decision<'_>, epoch: Epoch) {
    if epoch > decision.state.header.epoch {
        decision.emit(Event::ClusterRecovered { epoch });
    }
}
