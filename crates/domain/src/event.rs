//! Events: the only way to change the state, and its only history.
//!
//! One table defines every event with its documentation, its fields and its properties. Everything
//! that depends on the event type follows from the table or is a match that the compiler checks.

mod define;
mod event_type;

use serde::{Deserialize, Serialize};

use crate::agent::AgentDescription;
use crate::api::Api;
use crate::catalog::Region;
use crate::dns::DnsSettings;
use crate::id::{
    ClusterId, DataVersion, Epoch, Incarnation, NodeId, Revision, Timestamp, UnitId, Zones,
};
use crate::limits::Limits;
use crate::loss::{Evidence, Gateways};
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::network::Network;
use crate::routing_policy::{Preference, RoutingPolicy};
use crate::tier::Tier;
use crate::when_disabled::WhenDisabled;
use define::define_events;

pub use event_type::UnknownEventType;

define_events! {
    /// A fact about the cluster.
    ///
    /// Stored by position: variants and fields are never moved, removed or changed. A new variant
    /// is appended and documents the data version that introduced it. All variants without such a
    /// note exist since version 1.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all_fields = "camelCase")]
    #[expect(missing_docs, reason = "names and types document the fields")]
    enum Event;

    /// The cluster was bootstrapped.
    ClusterBootstrapped { cluster: ClusterId, data_version: DataVersion } {
        subject: Subject::Cluster,
        rows: [],
        configures: false,
    }
    /// Events up to this data version may be written.
    DataVersionRaised { version: DataVersion } {
        subject: Subject::Cluster,
        rows: [],
        configures: false,
    }
    /// The limits were replaced.
    LimitsSet { limits: Limits } {
        subject: Subject::Cluster,
        rows: [],
        configures: false,
    }
    /// A custom region was added or replaced.
    RegionDefined { region: Region } {
        subject: Subject::Cluster,
        rows: [Row::Region(&region.name)],
        configures: false,
    }
    /// The events up to and including `through` were removed from the history.
    HistoryTrimmed { through: Revision } {
        subject: Subject::Cluster,
        rows: [],
        configures: false,
    }

    /// An agent joined the cluster.
    AgentRegistered { agent: AgentDescription } {
        subject: Subject::Agent(&agent.name),
        rows: [Row::Agent(&agent.name)],
        configures: false,
    }
    /// An agent changed its addresses or the data version that it supports. A loss of its gateways
    /// ends if they have another host.
    AgentUpdated { agent: AgentDescription } {
        subject: Subject::Agent(&agent.name),
        rows: [Row::Agent(&agent.name), Row::Losses(&agent.name)],
        configures: false,
    }
    /// An agent was drained: it is assigned no more units.
    AgentDrained { agent: AgentName } {
        subject: Subject::Agent(agent),
        rows: [Row::Agent(agent)],
        configures: false,
    }
    /// A drained agent may be assigned units again.
    AgentUndrained { agent: AgentName } {
        subject: Subject::Agent(agent),
        rows: [Row::Agent(agent)],
        configures: false,
    }
    /// An agent was removed together with every unit assigned to it.
    AgentRemoved { agent: AgentName, node: NodeId } {
        subject: Subject::Agent(agent),
        rows: [Row::Agent(agent), Row::Losses(agent), Row::UnitsOf(agent)],
        configures: false,
    }

    /// A service was created. The next event adds its only location.
    ServiceCreated { service: ServiceName, tier: Tier, primary: RegionName, port: u16 } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: true,
    }
    /// The tier of a service changed.
    TierChanged { service: ServiceName, tier: Tier } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// The gateway port of a service changed. Its units are replaced.
    PortChanged { service: ServiceName, port: u16 } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// A service was deleted together with its APIs. Its units were released.
    ServiceDeleted { service: ServiceName } {
        subject: Subject::Service(service),
        rows: [
            Row::Service(service),
            Row::ApisOf(service),
            Row::UnitsOfService(service),
            Row::LossesOf(service),
        ],
        configures: false,
    }
    /// A location was added to a service.
    RegionAdded { service: ServiceName, region: RegionName, units: u16, zones: Zones } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// The desired number of units of a location changed.
    UnitsScaled { service: ServiceName, region: RegionName, units: u16 } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// The zones of a location changed.
    ZonesChanged { service: ServiceName, region: RegionName, zones: Zones } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// A location was removed from a service. Its units were released.
    RegionRemoved { service: ServiceName, region: RegionName } {
        subject: Subject::Service(service),
        rows: [Row::Service(service), Row::UnitsIn(service, region)],
        configures: false,
    }
    /// Another region became the primary region of a service.
    PrimaryPromoted { service: ServiceName, region: RegionName } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// The gateways of a location were enabled: they serve clients.
    GatewayEnabled { service: ServiceName, region: RegionName } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: true,
    }
    /// The gateways of a location were disabled: they serve no clients.
    GatewayDisabled { service: ServiceName, region: RegionName } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: true,
    }

    /// A unit was assigned to an agent. Its incarnation is the revision of this event.
    UnitAssigned { unit: UnitId, incarnation: Incarnation, agent: AgentName } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }
    /// A unit was released: its agent drains and stops it.
    UnitReleased { unit: UnitId, incarnation: Incarnation } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }
    /// A unit became ready to serve requests.
    UnitReady {
        unit: UnitId,
        incarnation: Incarnation,
        pid: Option<u32>,
        configuration: Revision,
    } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }
    /// A unit crashed or failed to start.
    UnitFailed {
        unit: UnitId,
        incarnation: Incarnation,
        restarts: u32,
        next_try: Timestamp,
        cause: String,
    } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }
    /// A released unit stopped, or its agent did not report for so long that it was forgotten.
    UnitStopped { unit: UnitId, incarnation: Incarnation } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }

    /// An API was added to a service or replaced.
    ApiPublished { service: ServiceName, api: Api } {
        subject: Subject::Service(service),
        rows: [Row::Service(service), Row::Api(service, &api.name)],
        configures: true,
    }
    /// An API was removed from a service.
    ApiRemoved { service: ServiceName, api: ApiName } {
        subject: Subject::Service(service),
        rows: [Row::Service(service), Row::Api(service, api)],
        configures: true,
    }
    /// A ready unit switched to another configuration revision.
    UnitConfigured { unit: UnitId, incarnation: Incarnation, configuration: Revision } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }
    /// A rolling replacement of the current units of a location started.
    RollStarted { service: ServiceName, region: RegionName } {
        subject: Subject::Units(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// An operator recovered the cluster on one agent, after a majority of the disks was lost.
    ClusterRecovered { epoch: Epoch } {
        subject: Subject::Cluster,
        rows: [],
        configures: false,
    }
    /// A ready unit refused a configuration. It keeps the one that it serves, and its agent tries
    /// again.
    UnitRefused {
        unit: UnitId,
        incarnation: Incarnation,
        configuration: Revision,
        cause: String,
    } {
        subject: Subject::Unit(unit),
        rows: [Row::Unit(unit, *incarnation)],
        configures: false,
    }
    /// The routing policy of a service changed.
    RoutingChanged { service: ServiceName, routing: RoutingPolicy } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// The priority or the weight of a location changed.
    PreferenceChanged { service: ServiceName, region: RegionName, preference: Preference } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: false,
    }
    /// The settings of the name servers were replaced.
    DnsSet { settings: DnsSettings } {
        subject: Subject::Cluster,
        rows: [],
        configures: false,
    }
    /// A network of clients was assigned to the region closest to it.
    NetworkAssigned { network: Network, region: RegionName } {
        subject: Subject::Cluster,
        rows: [Row::Network(*network)],
        configures: false,
    }
    /// A network of clients was removed.
    NetworkRemoved { network: Network } {
        subject: Subject::Cluster,
        rows: [Row::Network(*network)],
        configures: false,
    }
    /// The round trip between two regions was measured; `one` is the first by name.
    RoundTripMeasured { one: RegionName, other: RegionName, micros: u32 } {
        subject: Subject::Cluster,
        rows: [Row::RoundTrip(one, other)],
        configures: false,
    }
    /// A majority cannot reach gateways of an agent: clients are sent to other regions.
    GatewaysLost { agent: AgentName, gateways: Gateways, evidence: Evidence, relapses: u8 } {
        subject: Subject::Agent(agent),
        rows: [Row::Losses(agent)],
        configures: false,
    }
    /// Lost gateways of an agent are reachable again.
    GatewaysFound { agent: AgentName, gateways: Gateways } {
        subject: Subject::Agent(agent),
        rows: [Row::Losses(agent)],
        configures: false,
    }
    /// The responses of the disabled gateways of a service changed.
    WhenDisabledChanged { service: ServiceName, when_disabled: WhenDisabled } {
        subject: Subject::Service(service),
        rows: [Row::Service(service)],
        configures: true,
    }
}

impl Event {
    /// Returns the name of the event's type, such as `RegionAdded`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.event_type().as_str()
    }

    /// Returns the maximum number of stored bytes of an event about a unit; 0 for any other event.
    pub(crate) fn unit_bytes(&self) -> usize {
        let Subject::Unit(UnitId { service, region, slot: _ }) = self.subject() else { return 0 };
        let mut text = service.as_str().len() + region.as_str().len();
        if let Self::UnitAssigned { agent, .. } = self {
            text += agent.as_str().len();
        }
        if let Self::UnitFailed { cause, .. } | Self::UnitRefused { cause, .. } = self {
            text += cause.len();
        }
        text + FIXED_UNIT_BYTES
    }
}

/// Maximum number of stored bytes of an event about a unit without its texts.
const FIXED_UNIT_BYTES: usize = 56;

/// Subject of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The cluster as a whole.
    Cluster,
    /// An agent.
    Agent(&'a AgentName),
    /// The configuration of a service as operators save it. These events advance the revision of
    /// the service.
    Service(&'a ServiceName),
    /// The units of a service, not what operators saved.
    Units(&'a ServiceName),
    /// A unit.
    Unit(&'a UnitId),
}

/// Row of the state that an event changes: an entry of one of the maps of [`State`](crate::State).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row<'a> {
    /// A custom region.
    Region(&'a RegionName),
    /// A network of clients.
    Network(Network),
    /// A measured round trip between two regions.
    RoundTrip(&'a RegionName, &'a RegionName),
    /// An agent.
    Agent(&'a AgentName),
    /// Losses of the gateways of an agent.
    Losses(&'a AgentName),
    /// Every unit assigned to an agent, as of the state before the event.
    UnitsOf(&'a AgentName),
    /// Every unit of a service, as of the state before the event.
    UnitsOfService(&'a ServiceName),
    /// Losses of every agent that has one of this service, as of the state before the event.
    LossesOf(&'a ServiceName),
    /// Every unit of a location, as of the state before the event.
    UnitsIn(&'a ServiceName, &'a RegionName),
    /// A service with its locations.
    Service(&'a ServiceName),
    /// Every API of a service, as of the state before the event.
    ApisOf(&'a ServiceName),
    /// An API.
    Api(&'a ServiceName, &'a ApiName),
    /// An assignment of a unit.
    Unit(&'a UnitId, Incarnation),
}
