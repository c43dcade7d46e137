//! The rules of APIs.

use std::collections::BTreeMap;

use super::agent::unknown_region;
use super::decision::Decision;
use super::draft::Draft;
use crate::api::{Api, BackendUrl};
use crate::event::Event;
use crate::limits;
use crate::name::{ApiName, ServiceName};
use crate::nearest::nearest;
use crate::rejection::Rejection;
use crate::state::State;

pub(super) fn remove(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    apis: &mut BTreeMap<ApiName, Api>,
    api: &ApiName,
) {
    if apis.remove(api).is_none() {
        let nearest = nearest(api.as_str(), apis.keys().map(ApiName::as_str));
        let (service, api) = (service.clone(), api.clone());
        decision.refuse(Rejection::ApiUnknown { service, api, nearest });
    }
}

/// What has to hold of the APIs that are published, once all edits are applied.
pub(super) fn check(decision: &mut Decision<'_>, draft: &Draft, published: &[&Api]) {
    if draft.apis.len() > limits::APIS {
        decision.refuse(Rejection::TooManyApis {
            service: draft.service.name.clone(),
            given: u32::try_from(draft.apis.len()).unwrap_or(u32::MAX),
            most: limits::APIS as u32,
        });
    }
    for api in published {
        check_path(decision, draft, api);
        check_timeouts(decision, api);
        check_backends(decision, api);
    }
}

fn check_path(decision: &mut Decision<'_>, draft: &Draft, api: &Api) {
    let mut others = draft.apis.values().filter(|other| other.name != api.name);
    if let Some(other) = others.find(|other| other.path == api.path) {
        decision.refuse(Rejection::PathTaken {
            api: api.name.clone(),
            path: api.path.to_string(),
            other: other.name.clone(),
        });
    }
}

fn check_timeouts(decision: &mut Decision<'_>, api: &Api) {
    let given = [
        ("connect", api.timeouts.connect_ms),
        ("response", api.timeouts.response_ms),
        ("idle", api.timeouts.idle_ms),
    ];
    let range = 1..=limits::LONGEST_TIMEOUT_MS;
    for (which, given) in given.into_iter().filter(|(_, given)| !range.contains(given)) {
        let (api, which) = (api.name.clone(), which.to_owned());
        decision.refuse(Rejection::TimeoutOutOfRange { api, which, given });
    }
}

fn check_backends(decision: &mut Decision<'_>, api: &Api) {
    let state = decision.state;
    if api.regional.len() > limits::REGIONAL_BACKENDS {
        decision.refuse(Rejection::TooManyBackends {
            api: api.name.clone(),
            given: u32::try_from(api.regional.len()).unwrap_or(u32::MAX),
            most: limits::REGIONAL_BACKENDS as u32,
        });
    }
    for region in api.regional.keys().filter(|region| state.region(region).is_none()) {
        decision.refuse(unknown_region(state, region));
    }
    for backend in api.backends() {
        if let Some(rejection) = round_trip(state, api, backend) {
            decision.refuse(rejection);
        }
    }
}

/// Refuses a backend that is a gateway of this cluster, as far as names tell. What they hide, a unit
/// sees by the `Via` of its own in a call.
fn round_trip(state: &State, api: &Api, backend: &BackendUrl) -> Option<Rejection> {
    state.services.values().find(|service| service.port == backend.port())?;
    let mut agents = state.agents.values().map(|agent| &agent.description);
    let agent = agents.find(|agent| agent.gateway_host.eq_ignore_ascii_case(backend.host()))?;
    Some(Rejection::BackendIsGateway {
        api: api.name.clone(),
        backend: backend.to_string(),
        agent: agent.name.clone(),
    })
}

/// The events that lead from one to the other. Paths that are given up are free for others.
pub(super) fn record(decision: &mut Decision<'_>, before: &Draft, after: &Draft) {
    let service = &after.service.name;
    for api in before.apis.keys().filter(|api| !after.apis.contains_key(*api)) {
        let (service, api) = (service.clone(), api.clone());
        decision.happens(Event::ApiRemoved { service, api });
    }
    for (name, api) in &after.apis {
        if before.apis.get(name) != Some(api) {
            let (service, api) = (service.clone(), api.clone());
            decision.happens(Event::ApiPublished { service, api });
        }
    }
}
