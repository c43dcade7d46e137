//! State row: one type for writing, loading and restoring it.

use meridian_domain::agent::Agent;
use meridian_domain::outcome::Outcome;
use meridian_domain::reachability::Losses;
use meridian_domain::routing::MeasuredRoundTrip;
use meridian_domain::state::Header;
use meridian_domain::{
    AgentName, Api, ApiName, Incarnation, Network, Region, RegionName, RequestId, Service,
    ServiceName, State, Unit, UnitId,
};
use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::codec::{self, DecodeError};
use crate::stored;

stored! {
    Forgotten = 34, version 1, "forgotten requests";
    StoredApi = 35, version 1, "API";
    StoredLosses = 36, version 1, "losses of gateways";
    StoredNetwork = 37, version 1, "network of clients";
    StoredRoundTrip = 38, version 1, "round trip";
}

/// Greatest request id that was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Request id.
    pub request: RequestId,
}

/// API and the service that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredApi {
    /// Service that the API belongs to.
    pub service: ServiceName,
    /// API.
    pub api: Api,
}

/// Losses of the gateways of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLosses {
    /// Agent.
    pub agent: AgentName,
    /// Losses.
    pub losses: Losses,
}

/// Network of clients and the region closest to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNetwork {
    /// Network.
    pub network: Network,
    /// Region.
    pub region: RegionName,
}

/// Measured round trip between two regions, the first by name first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRoundTrip {
    /// Regions.
    pub regions: (RegionName, RegionName),
    /// Round trip.
    pub measured: MeasuredRoundTrip,
}

/// Content of a state row; `None` if the row does not exist. The same type writes a row, loads it,
/// and restores its previous content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Agent.
    Agent(AgentName, Option<Agent>),
    /// Greatest forgotten request id.
    Forgotten(Option<Forgotten>),
    /// Losses of the gateways of an agent.
    Losses(AgentName, Option<Losses>),
    /// Network of clients.
    Network(Network, Option<RegionName>),
    /// Outcome of a request.
    Outcome(RequestId, Option<Outcome>),
    /// Region that an operator defined.
    Region(RegionName, Option<Region>),
    /// API of a service.
    Api((ServiceName, ApiName), Option<Api>),
    /// Service.
    Service(ServiceName, Option<Service>),
    /// Measured round trip between two regions.
    RoundTrip((RegionName, RegionName), Option<MeasuredRoundTrip>),
    /// Unit.
    Unit((UnitId, Incarnation), Option<Unit>),
    /// Header: the singleton values of the state.
    Header(Header),
}

/// The bytes are not a state row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The kind of the key is unknown: written by newer software, or damaged.
    #[error("unknown key {key:?}")]
    UnknownKey {
        /// Key, escaped.
        key: String,
    },
    /// The value belongs to another key.
    #[error("the value of key {key:?} belongs to another key")]
    Misplaced {
        /// Key, escaped.
        key: String,
    },
    /// The value cannot be decoded.
    #[error("cannot read the row of key {key:?}")]
    Value {
        /// Key, escaped.
        key: String,
        /// Cause.
        #[source]
        cause: DecodeError,
    },
}

impl Row {
    /// Returns the row of `state` with this key.
    #[must_use]
    pub fn of(state: &State, key: &Key) -> Self {
        match key {
            Key::Agent(name) => Self::Agent(name.clone(), state.agents.get(name).cloned()),
            Key::Forgotten => {
                Self::Forgotten(state.outcomes.forgotten.map(|request| Forgotten { request }))
            }
            Key::Losses(agent) => Self::Losses(agent.clone(), state.losses.get(agent).cloned()),
            Key::Network(network) => Self::Network(*network, state.networks.get(network).cloned()),
            Key::Outcome(request) => {
                Self::Outcome(*request, state.outcomes.by_request.get(request).cloned())
            }
            Key::Region(name) => Self::Region(name.clone(), state.regions.get(name).cloned()),
            Key::Api(service, api) => {
                let key = (service.clone(), api.clone());
                let present = state.apis.get(&key).cloned();
                Self::Api(key, present)
            }
            Key::Service(name) => Self::Service(name.clone(), state.services.get(name).cloned()),
            Key::RoundTrip(one, other) => {
                let key = (one.clone(), other.clone());
                let present = state.round_trips.get(&key).copied();
                Self::RoundTrip(key, present)
            }
            Key::Unit(unit, incarnation) => {
                let key = (unit.clone(), *incarnation);
                let present = state.units.get(&key).cloned();
                Self::Unit(key, present)
            }
            Key::Header => Self::Header(state.header.clone()),
        }
    }

    /// Stores the row in `state`, or removes it there if it does not exist.
    pub fn put(self, state: &mut State) {
        match self {
            Self::Agent(name, Some(agent)) => drop(state.agents.insert(name, agent)),
            Self::Agent(name, None) => drop(state.agents.remove(&name)),
            Self::Forgotten(present) => {
                state.outcomes.forgotten = present.map(|forgotten| forgotten.request);
            }
            Self::Losses(agent, Some(losses)) => drop(state.losses.insert(agent, losses)),
            Self::Losses(agent, None) => drop(state.losses.remove(&agent)),
            Self::Network(network, Some(region)) => drop(state.networks.insert(network, region)),
            Self::Network(network, None) => drop(state.networks.remove(&network)),
            Self::Outcome(request, Some(outcome)) => {
                drop(state.outcomes.by_request.insert(request, outcome));
            }
            Self::Outcome(request, None) => drop(state.outcomes.by_request.remove(&request)),
            Self::Region(name, Some(region)) => drop(state.regions.insert(name, region)),
            Self::Region(name, None) => drop(state.regions.remove(&name)),
            Self::Api(key, Some(api)) => drop(state.apis.insert(key, api)),
            Self::Api(key, None) => drop(state.apis.remove(&key)),
            Self::Service(name, Some(service)) => drop(state.services.insert(name, service)),
            Self::Service(name, None) => drop(state.services.remove(&name)),
            Self::RoundTrip(key, Some(measured)) => drop(state.round_trips.insert(key, measured)),
            Self::RoundTrip(key, None) => drop(state.round_trips.remove(&key)),
            Self::Unit(key, Some(unit)) => drop(state.units.insert(key, unit)),
            Self::Unit(key, None) => drop(state.units.remove(&key)),
            Self::Header(header) => state.header = header,
        }
    }

    /// Returns the key of the row.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Agent(name, _) => Key::Agent(name.clone()),
            Self::Forgotten(_) => Key::Forgotten,
            Self::Losses(agent, _) => Key::Losses(agent.clone()),
            Self::Network(network, _) => Key::Network(*network),
            Self::Outcome(request, _) => Key::Outcome(*request),
            Self::Region(name, _) => Key::Region(name.clone()),
            Self::Api((service, api), _) => Key::Api(service.clone(), api.clone()),
            Self::Service(name, _) => Key::Service(name.clone()),
            Self::RoundTrip((one, other), _) => Key::RoundTrip(one.clone(), other.clone()),
            Self::Unit((unit, incarnation), _) => Key::Unit(unit.clone(), *incarnation),
            Self::Header(_) => Key::Header,
        }
    }

    /// Returns the stored form of the row; `None` if the row does not exist.
    #[must_use]
    pub fn value(&self) -> Option<Vec<u8>> {
        match self {
            Self::Agent(_, agent) => agent.as_ref().map(codec::encode),
            Self::Forgotten(forgotten) => forgotten.as_ref().map(codec::encode),
            Self::Losses(agent, losses) => losses.as_ref().map(|losses| {
                codec::encode(&StoredLosses { agent: agent.clone(), losses: losses.clone() })
            }),
            Self::Network(network, region) => region.as_ref().map(|region| {
                codec::encode(&StoredNetwork { network: *network, region: region.clone() })
            }),
            Self::Outcome(_, outcome) => outcome.as_ref().map(codec::encode),
            Self::Region(_, region) => region.as_ref().map(codec::encode),
            Self::Api((service, _), api) => api.as_ref().map(|api| {
                codec::encode(&StoredApi { service: service.clone(), api: api.clone() })
            }),
            Self::Service(_, service) => service.as_ref().map(codec::encode),
            Self::RoundTrip(regions, measured) => measured.map(|measured| {
                codec::encode(&StoredRoundTrip { regions: regions.clone(), measured })
            }),
            Self::Unit(_, unit) => unit.as_ref().map(codec::encode),
            Self::Header(header) => Some(codec::encode(header)),
        }
    }

    /// Decodes a row from its key and stored form.
    ///
    /// # Errors
    /// If the value is not a valid row, or belongs to another key.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, RowError> {
        let escaped = || key.escape_ascii().to_string();
        let row = match key.first() {
            Some(b'a') => codec::decode::<Agent>(value)
                .map(|agent| Self::Agent(agent.description.name.clone(), Some(agent))),
            Some(b'f') => codec::decode(value).map(|forgotten| Self::Forgotten(Some(forgotten))),
            Some(b'l') => codec::decode::<StoredLosses>(value)
                .map(|StoredLosses { agent, losses }| Self::Losses(agent, Some(losses))),
            Some(b'n') => codec::decode::<StoredNetwork>(value)
                .map(|StoredNetwork { network, region }| Self::Network(network, Some(region))),
            Some(b'o') => {
                let uuid = uuid::Uuid::from_slice(&key[1..]).ok();
                let request = uuid.and_then(|uuid| RequestId::try_from(uuid).ok());
                let request = request.ok_or_else(|| RowError::UnknownKey { key: escaped() })?;
                codec::decode(value).map(|outcome| Self::Outcome(request, Some(outcome)))
            }
            Some(b'r') => codec::decode::<Region>(value)
                .map(|region| Self::Region(region.name.clone(), Some(region))),
            Some(b'p') => codec::decode::<StoredApi>(value).map(|StoredApi { service, api }| {
                Self::Api((service, api.name.clone()), Some(api))
            }),
            Some(b's') => codec::decode::<Service>(value)
                .map(|service| Self::Service(service.name.clone(), Some(service))),
            Some(b't') => codec::decode::<StoredRoundTrip>(value).map(
                |StoredRoundTrip { regions, measured }| Self::RoundTrip(regions, Some(measured)),
            ),
            Some(b'u') => codec::decode::<Unit>(value)
                .map(|unit| Self::Unit((unit.id.clone(), unit.incarnation), Some(unit))),
            Some(b'z') => codec::decode(value).map(Self::Header),
            _ => return Err(RowError::UnknownKey { key: escaped() }),
        };
        let row = row.map_err(|cause| RowError::Value { key: escaped(), cause })?;
        if row.key().bytes() == key { Ok(row) } else { Err(RowError::Misplaced { key: escaped() }) }
    }
}
