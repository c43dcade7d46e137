//! Rejections of names that do not exist, with the nearest ones that do.

use crate::name::{AgentName, RegionName, ServiceName};
use crate::nearest::nearest;
use crate::rejection::Rejection;
use crate::state::State;

/// Rejects an unknown agent.
#[must_use]
pub fn agent(state: &State, agent: &AgentName) -> Rejection {
    let nearest = nearest(agent.as_str(), state.agents.keys().map(AgentName::as_str));
    Rejection::AgentUnknown { agent: agent.clone(), nearest }
}

/// Rejects an unknown service.
#[must_use]
pub fn service(state: &State, service: &ServiceName) -> Rejection {
    let nearest = nearest(service.as_str(), state.services.keys().map(ServiceName::as_str));
    Rejection::ServiceUnknown { service: service.clone(), nearest }
}

/// Rejects an unknown region.
#[must_use]
pub fn region(state: &State, region: &RegionName) -> Rejection {
    let known = state.all_regions().map(|region| region.name.as_str());
    Rejection::RegionUnknown { region: region.clone(), nearest: nearest(region.as_str(), known) }
}
