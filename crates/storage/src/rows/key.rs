//! The keys of the rows of the state, without their epoch.

use meridian_domain::{
    AgentName, ApiName, Incarnation, RegionName, RequestId, ServiceName, UnitId,
};

/// The row of the state that something is kept in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An agent's.
    Agent(AgentName),
    /// That of the greatest forgotten request.
    Forgotten,
    /// That of a request's outcome.
    Outcome(RequestId),
    /// That of a region that an operator defined.
    Region(RegionName),
    /// An API's.
    Api(ServiceName, ApiName),
    /// A service's.
    Service(ServiceName),
    /// A unit's.
    Unit(UnitId, Incarnation),
    /// That of the single values.
    Header,
}

impl Key {
    /// The key's bytes, without the epoch.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Agent(name) => [b"a", name.as_str().as_bytes()].concat(),
            Self::Forgotten => b"f".to_vec(),
            Self::Outcome(request) => [b"o", request.uuid().as_bytes().as_slice()].concat(),
            Self::Region(name) => [b"r", name.as_str().as_bytes()].concat(),
            Self::Api(service, api) => {
                [b"p", service.as_str().as_bytes(), b"\0", api.as_str().as_bytes()].concat()
            }
            Self::Service(name) => [b"s", name.as_str().as_bytes()].concat(),
            Self::Unit(unit, incarnation) => [
                b"u",
                unit.service.as_str().as_bytes(),
                b"\0",
                unit.region.as_str().as_bytes(),
                b"\0",
                &unit.slot.to_be_bytes(),
                &incarnation.0.to_be_bytes(),
            ]
            .concat(),
            Self::Header => b"z".to_vec(),
        }
    }
}
