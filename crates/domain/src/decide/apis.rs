//! Rules for the APIs of a service.

use std::collections::BTreeMap;

use super::decision::Decision;
use super::draft::Draft;
use crate::api::{Api, BackendUrl};
use crate::event::Event;
use crate::limits;
use crate::name::{ApiName, ServiceName};
use crate::nearest::nearest;
use crate::rejection::Rejection;
use crate::state::State;
use crate::unknown;

pub(super) fn remove(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    apis: &mut BTreeMap<ApiName, Api>,
    api: &ApiName,
) {
    if apis.remove(api).is_none() {
        let nearest = nearest(api.as_str(), apis.keys().map(ApiName::as_str));
        let (service, api) = (service.clone(), api.clone());
        decision.reject(Rejection::ApiUnknown { service, api, nearest });
    }
}

/// Checks the published APIs after all edits were applied.
pub(super) fn check(decision: &mut Decision<'_>, draft: &Draft, published: &[&Api]) {
    if draft.apis.len() > limits::APIS {
        decision.reject(Rejection::TooManyApis {
            service: draft.service.name.clone(),
            actual: u32::try_from(draft.apis.len()).unwrap_or(u32::MAX),
            max: limits::APIS as u32,
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
        decision.reject(Rejection::PathTaken {
            api: api.name.clone(),
            path: api.path.to_string(),
            other: other.name.clone(),
        });
    }
}

fn check_timeouts(decision: &mut Decision<'_>, api: &Api) {
    let timeouts = [
        ("connect", api.timeouts.connect_ms),
        ("response", api.timeouts.response_ms),
        ("idle", api.timeouts.idle_ms),
    ];
    let range = 1..=limits::MAX_TIMEOUT_MS;
    for (timeout, requested_ms) in timeouts.into_iter().filter(|(_, ms)| !range.contains(ms)) {
        let (api, timeout) = (api.name.clone(), timeout.to_owned());
        decision.reject(Rejection::TimeoutOutOfRange { api, timeout, requested_ms });
    }
}

fn check_backends(decision: &mut Decision<'_>, api: &Api) {
    let state = decision.state;
    if api.regional.len() > limits::REGIONAL_BACKENDS {
        decision.reject(Rejection::TooManyBackends {
            api: api.name.clone(),
            actual: u32::try_from(api.regional.len()).unwrap_or(u32::MAX),
            max: limits::REGIONAL_BACKENDS as u32,
        });
    }
    for region in api.regional.keys().filter(|region| state.region(region).is_none()) {
        decision.reject(unknown::region(state, region));
    }
    for backend in api.backends() {
        if let Some(rejection) = forwarding_loop(state, api, backend) {
            decision.reject(rejection);
        }
    }
}

/// Rejects a backend whose host and port are those of a gateway of this cluster. A loop through
/// other names is detected at run time: a unit finds its own `Via` header in the request.
fn forwarding_loop(state: &State, api: &Api, backend: &BackendUrl) -> Option<Rejection> {
    state.services.values().find(|service| service.port == backend.port())?;
    let mut agents = state.agents.values().map(|agent| &agent.description);
    let agent = agents.find(|agent| agent.gateway_host.eq_ignore_ascii_case(backend.host()))?;
    Some(Rejection::BackendIsGateway {
        api: api.name.clone(),
        backend: backend.to_string(),
        agent: agent.name.clone(),
    })
}

/// Emits the events that lead from `before` to `after`. Removals come first, so that their paths
/// are free for other APIs.
pub(super) fn emit_changes(decision: &mut Decision<'_>, before: &Draft, after: &Draft) {
    let service = &after.service.name;
    for api in before.apis.keys().filter(|api| !after.apis.contains_key(*api)) {
        let (service, api) = (service.clone(), api.clone());
        decision.emit(Event::ApiRemoved { service, api });
    }
    for (name, api) in &after.apis {
        if before.apis.get(name) != Some(api) {
            let (service, api) = (service.clone(), api.clone());
            decision.emit(Event::ApiPublished { service, api });
        }
    }
}
