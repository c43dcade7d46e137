//! What happened. Events are the only thing that changes the state, and the only history there is.

use serde::{Deserialize, Serialize};

use crate::agent::AgentDescription;
use crate::api::Api;
use crate::catalog::Region;
use crate::id::{ClusterId, DataVersion, Incarnation, NodeId, Revision, Timestamp, UnitId, Zones};
use crate::limits::Limits;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::tier::Tier;

/// A fact. Stored by position: variants and fields are never moved, removed or changed; a new
/// variant is appended and says since which data version it exists. All of these: since version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are named by what they hold, and typed")]
pub enum Event {
    /// The cluster began.
    ClusterBootstrapped { cluster: ClusterId, data_version: DataVersion },
    /// Events up to this version may be written from here on.
    DataVersionRaised { version: DataVersion },
    /// The limits are these from here on.
    LimitsSet { limits: Limits },
    /// The catalog has this region, or has it so, from here on.
    RegionDefined { region: Region },
    /// The events up to and including `through` can no longer be read.
    HistoryTrimmed { through: Revision },

    /// An agent became known.
    AgentRegistered { agent: AgentDescription },
    /// A known agent has other addresses, or supports another data version.
    AgentUpdated { agent: AgentDescription },
    /// An agent gets no units from here on.
    AgentDrained { agent: AgentName },
    /// An agent gets units again.
    AgentUndrained { agent: AgentName },
    /// An agent is forgotten, and every unit on it.
    AgentRemoved { agent: AgentName, node: NodeId },

    /// A service exists; its one location is added by the next event.
    ServiceCreated { service: ServiceName, tier: Tier, primary: RegionName, port: u16 },
    /// A service has another tier.
    TierChanged { service: ServiceName, tier: Tier },
    /// A service's gateways listen on another port. Its units are assigned anew.
    PortChanged { service: ServiceName, port: u16 },
    /// A service is gone.
    ServiceDeleted { service: ServiceName },
    /// A service has a location.
    RegionAdded { service: ServiceName, region: RegionName, units: u16, zones: Zones },
    /// A location has so many units.
    UnitsScaled { service: ServiceName, region: RegionName, units: u16 },
    /// A location is spread over these zones.
    ZonesChanged { service: ServiceName, region: RegionName, zones: Zones },
    /// A service has lost a location.
    RegionRemoved { service: ServiceName, region: RegionName },
    /// A service has another primary region.
    PrimaryPromoted { service: ServiceName, region: RegionName },
    /// A location serves callers.
    GatewayEnabled { service: ServiceName, region: RegionName },
    /// A location serves no callers.
    GatewayDisabled { service: ServiceName, region: RegionName },

    /// An agent is to run a unit. The incarnation is the revision of this event.
    UnitAssigned { unit: UnitId, incarnation: Incarnation, agent: AgentName },
    /// An agent is to drain a unit and stop it.
    UnitReleased { unit: UnitId, incarnation: Incarnation },
    /// A unit answers calls.
    UnitReady { unit: UnitId, incarnation: Incarnation, pid: Option<u32>, configuration: Revision },
    /// A unit died or did not start.
    UnitFailed {
        unit: UnitId,
        incarnation: Incarnation,
        restarts: u32,
        next_try: Timestamp,
        cause: String,
    },
    /// A released unit is gone.
    UnitStopped { unit: UnitId, incarnation: Incarnation },

    /// A service has this API, or has it so, from here on.
    ApiPublished { service: ServiceName, api: Api },
    /// A service has lost an API.
    ApiRemoved { service: ServiceName, api: ApiName },
    /// A ready unit serves another configuration.
    UnitConfigured { unit: UnitId, incarnation: Incarnation, configuration: Revision },
    /// The units that a location has now are replaced, one after another.
    RollStarted { service: ServiceName, region: RegionName },
}

impl Event {
    /// The variant's name, such as `RegionAdded`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::ClusterBootstrapped { .. } => "ClusterBootstrapped",
            Self::DataVersionRaised { .. } => "DataVersionRaised",
            Self::LimitsSet { .. } => "LimitsSet",
            Self::RegionDefined { .. } => "RegionDefined",
            Self::HistoryTrimmed { .. } => "HistoryTrimmed",
            Self::AgentRegistered { .. } => "AgentRegistered",
            Self::AgentUpdated { .. } => "AgentUpdated",
            Self::AgentDrained { .. } => "AgentDrained",
            Self::AgentUndrained { .. } => "AgentUndrained",
            Self::AgentRemoved { .. } => "AgentRemoved",
            Self::ServiceCreated { .. } => "ServiceCreated",
            Self::TierChanged { .. } => "TierChanged",
            Self::PortChanged { .. } => "PortChanged",
            Self::ServiceDeleted { .. } => "ServiceDeleted",
            Self::RegionAdded { .. } => "RegionAdded",
            Self::UnitsScaled { .. } => "UnitsScaled",
            Self::ZonesChanged { .. } => "ZonesChanged",
            Self::RegionRemoved { .. } => "RegionRemoved",
            Self::PrimaryPromoted { .. } => "PrimaryPromoted",
            Self::GatewayEnabled { .. } => "GatewayEnabled",
            Self::GatewayDisabled { .. } => "GatewayDisabled",
            Self::UnitAssigned { .. } => "UnitAssigned",
            Self::UnitReleased { .. } => "UnitReleased",
            Self::UnitReady { .. } => "UnitReady",
            Self::UnitFailed { .. } => "UnitFailed",
            Self::UnitStopped { .. } => "UnitStopped",
            Self::ApiPublished { .. } => "ApiPublished",
            Self::ApiRemoved { .. } => "ApiRemoved",
            Self::UnitConfigured { .. } => "UnitConfigured",
            Self::RollStarted { .. } => "RollStarted",
        }
    }

    /// What the event is about.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        match self {
            Self::ClusterBootstrapped { .. }
            | Self::DataVersionRaised { .. }
            | Self::LimitsSet { .. }
            | Self::RegionDefined { .. }
            | Self::HistoryTrimmed { .. } => Subject::Cluster,
            Self::AgentRegistered { agent } | Self::AgentUpdated { agent } => {
                Subject::Agent(&agent.name)
            }
            Self::AgentDrained { agent }
            | Self::AgentUndrained { agent }
            | Self::AgentRemoved { agent, .. } => Subject::Agent(agent),
            Self::ServiceCreated { service, .. }
            | Self::TierChanged { service, .. }
            | Self::PortChanged { service, .. }
            | Self::ServiceDeleted { service }
            | Self::RegionAdded { service, .. }
            | Self::UnitsScaled { service, .. }
            | Self::ZonesChanged { service, .. }
            | Self::RegionRemoved { service, .. }
            | Self::PrimaryPromoted { service, .. }
            | Self::GatewayEnabled { service, .. }
            | Self::GatewayDisabled { service, .. }
            | Self::ApiPublished { service, .. }
            | Self::ApiRemoved { service, .. } => Subject::Service(service),
            Self::RollStarted { service, .. } => Subject::Units(service),
            Self::UnitAssigned { unit, .. }
            | Self::UnitReleased { unit, .. }
            | Self::UnitReady { unit, .. }
            | Self::UnitFailed { unit, .. }
            | Self::UnitStopped { unit, .. }
            | Self::UnitConfigured { unit, .. } => Subject::Unit(unit),
        }
    }

    /// Whether it changes what the units of its service serve.
    #[must_use]
    pub fn configures(&self) -> bool {
        matches!(
            self,
            Self::ServiceCreated { .. }
                | Self::GatewayEnabled { .. }
                | Self::GatewayDisabled { .. }
                | Self::ApiPublished { .. }
                | Self::ApiRemoved { .. }
        )
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// All of it.
    Cluster,
    /// An agent.
    Agent(&'a AgentName),
    /// A service as operators save it: these events move the service's own revision.
    Service(&'a ServiceName),
    /// The units of a service, not what operators saved of it.
    Units(&'a ServiceName),
    /// A unit.
    Unit(&'a UnitId),
}
