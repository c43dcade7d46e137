//! Founding, the data version, limits, regions and history.

use super::agent;
use super::decision::Decision;
use crate::agent::AgentDescription;
use crate::catalogue::{self, Region};
use crate::event::Event;
use crate::id::{ClusterId, DataVersion, Revision};
use crate::limits::{self, Limits};
use crate::rejection::Rejection;

/// Degrees from the equator to a pole, in millionths.
const POLE: u32 = 90_000_000;
/// Degrees from Greenwich to the other side, in millionths.
const ANTIMERIDIAN: u32 = 180_000_000;

pub(super) fn found(
    decision: &mut Decision<'_>,
    cluster: ClusterId,
    founders: &[AgentDescription],
) {
    match decision.state.header.cluster {
        None => {
            decision
                .happens(Event::ClusterFounded { cluster, data_version: DataVersion::SUPPORTED });
            for founder in founders {
                agent::register_founder(decision, founder);
            }
        }
        Some(founded) if founded == cluster => {}
        Some(founded) => decision.refuse(Rejection::AlreadyFounded { cluster: founded }),
    }
}

pub(super) fn raise_data_version(decision: &mut Decision<'_>, version: DataVersion) {
    let state = decision.state;
    let current = state.header.data_version;
    if version <= current {
        return decision.refuse(Rejection::DataVersionNotNewer { current });
    }
    if version > DataVersion::SUPPORTED {
        let newest = DataVersion::SUPPORTED;
        decision.refuse(Rejection::DataVersionUnknown { wanted: version, newest });
    }
    for (name, agent) in &state.agents {
        let supports = agent.description.supports;
        if supports < version {
            let agent = name.clone();
            decision.refuse(Rejection::DataVersionUnsupported { agent, supports, wanted: version });
        }
    }
    decision.happens(Event::DataVersionRaised { version });
}

pub(super) fn set_limits(decision: &mut Decision<'_>, wanted: &Limits) {
    let state = decision.state;
    if *wanted == state.header.limits {
        return;
    }
    let most = limits::MOST_UNITS_PER_LOCATION;
    in_range(decision, "developer_units", wanted.developer_units, most);
    in_range(decision, "basic_units", wanted.basic_units, most);
    in_range(decision, "standard_units", wanted.standard_units, most);
    in_range(decision, "premium_units", wanted.premium_units, most);
    in_range(decision, "voters", wanted.voters.into(), limits::MOST_VOTERS.into());
    if wanted.voters.is_multiple_of(2) {
        decision.refuse(Rejection::VotersEven { given: wanted.voters });
    }
    for service in state.services.values() {
        let limit = wanted.units(service.tier);
        for (region, location) in &service.locations {
            if location.units > limit {
                decision.refuse(Rejection::LimitBelowUse {
                    service: service.name.clone(),
                    region: region.clone(),
                    units: location.units,
                    tier: service.tier,
                    limit,
                });
            }
        }
    }
    decision.happens(Event::LimitsSet { limits: wanted.clone() });
}

fn in_range(decision: &mut Decision<'_>, limit: &str, given: u16, most: u16) {
    if !(1..=most).contains(&given) {
        decision.refuse(Rejection::LimitOutOfRange {
            limit: limit.to_owned(),
            least: 1,
            most,
            given,
        });
    }
}

pub(super) fn define_region(decision: &mut Decision<'_>, region: &Region) {
    let known = &decision.state.regions;
    if known.get(&region.name) == Some(region) {
        return;
    }
    if catalogue::region(&region.name).is_some() {
        decision.refuse(Rejection::RegionInCatalogue { region: region.name.clone() });
    }
    if !known.contains_key(&region.name) && known.len() >= limits::CUSTOM_REGIONS {
        let what = "regions of its own".to_owned();
        decision.refuse(Rejection::TooMany { what, most: limits::CUSTOM_REGIONS as u32 });
    }
    if region.latitude_microdegrees.unsigned_abs() > POLE
        || region.longitude_microdegrees.unsigned_abs() > ANTIMERIDIAN
    {
        decision.refuse(Rejection::NotOnTheGlobe { region: region.name.clone() });
    }
    // What is stored is the whole text, blanks around it included.
    let characters = region.display_name.chars().count();
    let blank = region.display_name.trim().is_empty();
    if blank || characters > limits::DISPLAY_NAME_CHARS {
        decision.refuse(Rejection::DisplayNameLength { region: region.name.clone() });
    }
    if region.display_name.chars().any(char::is_control) {
        decision.refuse(Rejection::DisplayNameControl { region: region.name.clone() });
    }
    decision.happens(Event::RegionDefined { region: region.clone() });
}

pub(super) fn trim_history(decision: &mut Decision<'_>, through: Revision) {
    let header = &decision.state.header;
    let last = header.revision;
    if through > last {
        return decision.refuse(Rejection::TrimBeyondEnd { through, last });
    }
    let end_of_segment = Revision(through.0 - through.0 % limits::SEGMENT_EVENTS);
    if end_of_segment > header.trimmed {
        decision.happens(Event::HistoryTrimmed { through: end_of_segment });
    }
}
