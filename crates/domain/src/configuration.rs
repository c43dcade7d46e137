//! Gateway configuration of a location, derived from the state.

use serde::{Deserialize, Serialize};

use crate::api::{ApiPath, BackendUrl, Timeouts};
use crate::id::Revision;
use crate::name::{ApiName, RegionName, ServiceName};
use crate::routing::{RedirectTarget, redirect_target};
use crate::state::State;

/// Complete configuration of the gateways of one location.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Revision of the last event that changed the configuration of the service; 0 without a
    /// service. Changes of `redirect` do not advance it.
    pub revision: Revision,
    /// Set if the location serves clients.
    pub enabled: bool,
    /// Gateways to which those of a disabled location redirect clients; `None` if they refuse requests.
    pub redirect: Option<RedirectTarget>,
    /// APIs, sorted by name.
    pub apis: Vec<ConfiguredApi>,
}

/// An API with the backend of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredApi {
    /// Name of the API.
    pub name: ApiName,
    /// Path prefix of the requests for the API.
    pub path: ApiPath,
    /// Backend that requests are forwarded to.
    pub backend: BackendUrl,
    /// Timeouts of the backend.
    pub timeouts: Timeouts,
}

impl Configuration {
    /// Returns the configuration of the gateways of `service` in `region`. Without such a service
    /// or location, it is disabled.
    #[must_use]
    pub fn of(state: &State, service: &ServiceName, region: &RegionName) -> Self {
        let Some(row) = state.services.get(service) else {
            return Self::default();
        };
        let apis = state.apis_of(service).map(|api| ConfiguredApi {
            name: api.name.clone(),
            path: api.path.clone(),
            backend: api.backend_in(region).clone(),
            timeouts: api.timeouts,
        });
        Self {
            revision: row.configuration,
            enabled: row.locations.get(region).is_some_and(|location| location.gateway_enabled),
            redirect: redirect_target(state, row, region),
            apis: apis.collect(),
        }
    }
}
