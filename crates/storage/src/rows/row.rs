//! State row: one type for writing, loading and restoring it.

use meridian_domain::agent::Agent;
use meridian_domain::outcome::Outcome;
use meridian_domain::state::Header;
use meridian_domain::{
    AgentName, Api, ApiName, Incarnation, Region, RegionName, RequestId, Service, ServiceName,
    State, Unit, UnitId,
};
use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::codec::{self, DecodeError};
use crate::stored;

stored! {
    Forgotten = 34, version 1, "forgotten requests";
    StoredApi = 35, version 1, "API";
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

/// Content of a state row; `None` if the row does not exist. The same type writes a row, loads it,
/// and restores its previous content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Agent.
    Agent(AgentName, Option<Agent>),
    /// Greatest forgotten request id.
    Forgotten(Option<Forgotten>),
    /// Outcome of a request.
    Outcome(RequestId, Option<Outcome>),
    /// Region that an operator defined.
    Region(RegionName, Option<Region>),
    /// API of a service.
    Api((ServiceName, ApiName), Option<Api>),
    /// Service.
    Service(ServiceName, Option<Service>),
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
            Self::Outcome(request, _) => Key::Outcome(*request),
            Self::Region(name, _) => Key::Region(name.clone()),
            Self::Api((service, api), _) => Key::Api(service.clone(), api.clone()),
            Self::Service(name, _) => Key::Service(name.clone()),
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
            Self::Outcome(_, outcome) => outcome.as_ref().map(codec::encode),
            Self::Region(_, region) => region.as_ref().map(codec::encode),
            Self::Api((service, _), api) => api.as_ref().map(|api| {
                codec::encode(&StoredApi { service: service.clone(), api: api.clone() })
            }),
            Self::Service(_, service) => service.as_ref().map(codec::encode),
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
            Some(b'u') => codec::decode::<Unit>(value)
                .map(|unit| Self::Unit((unit.id.clone(), unit.incarnation), Some(unit))),
            Some(b'z') => codec::decode(value).map(Self::Header),
            _ => return Err(RowError::UnknownKey { key: escaped() }),
        };
        let row = row.map_err(|cause| RowError::Value { key: escaped(), cause })?;
        if row.key().bytes() == key { Ok(row) } else { Err(RowError::Misplaced { key: escaped() }) }
    }
}
