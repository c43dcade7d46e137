//! Keys of state rows, without their epoch.

use meridian_domain::{
    AgentName, ApiName, Incarnation, RegionName, RequestId, ServiceName, UnitId,
};

/// Key of a state row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Agent.
    Agent(AgentName),
    /// Greatest forgotten request id.
    Forgotten,
    /// Outcome of a request.
    Outcome(RequestId),
    /// Region that an operator defined.
    Region(RegionName),
    /// API of a service.
    Api(ServiceName, ApiName),
    /// Service.
    Service(ServiceName),
    /// Unit.
    Unit(UnitId, Incarnation),
    /// Header: the singleton values of the state.
    Header,
}

impl Key {
    /// Returns the bytes of the key, without the epoch.
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
