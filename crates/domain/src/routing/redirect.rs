//! Targets to which disabled gateways redirect clients.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Client, order};
use crate::name::RegionName;
use crate::service::Service;
use crate::state::State;
use crate::when_disabled::WhenDisabled;

/// Gateways of a service in another region, by their name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectTarget {
    /// Name of the service in the region, such as `eastus.contoso.regional.gateways.example.net`.
    pub host: String,
    /// TCP port of the service.
    pub port: u16,
}

impl fmt::Display for RedirectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Returns the gateways to which those of `region` redirect clients: those of the first region that
/// serves a client there. `None` if the gateways of `region` are enabled, if the service refuses
/// requests where they are disabled, without a zone, and if no region serves: a last resort would fail
/// the requests that it gets.
#[must_use]
pub fn redirect_target(
    state: &State,
    service: &Service,
    region: &RegionName,
) -> Option<RedirectTarget> {
    let is_disabled = service.locations.get(region).is_some_and(|it| !it.gateway_enabled);
    let redirects = service.when_disabled == WhenDisabled::Redirect;
    let zone = state.header.dns.zone.as_ref().filter(|_| is_disabled && redirects)?;
    let order = order(state, service, &Client { region: region.clone(), network: None });
    let next = order.candidates.iter().find(|candidate| candidate.availability.serves())?;
    let host = zone.regional_name(&service.name, &next.region);
    Some(RedirectTarget { host, port: service.port })
}
