//! What the gateways of a location serve, taken together from the state.

use serde::{Deserialize, Serialize};

use crate::api::{ApiPath, BackendUrl, Timeouts};
use crate::id::Revision;
use crate::name::{ApiName, RegionName, ServiceName};
use crate::state::State;

/// What the gateways of one location serve, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The last event that changed what the service's gateways serve; 0 where there is no service.
    pub revision: Revision,
    /// Whether callers are served there.
    pub enabled: bool,
    /// Its APIs, by name.
    pub apis: Vec<ConfiguredApi>,
}

/// An API as one region serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredApi {
    /// Its name.
    pub name: ApiName,
    /// The prefix of the calls that it gets.
    pub path: ApiPath,
    /// Where calls go.
    pub backend: BackendUrl,
    /// How long the backend may take.
    pub timeouts: Timeouts,
}

impl Configuration {
    /// What the gateways of `service` in `region` serve as of `state`. Where the service or the
    /// location is gone, nothing: no callers are served there.
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
            apis: apis.collect(),
        }
    }
}
