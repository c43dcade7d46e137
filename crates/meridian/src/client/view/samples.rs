//! An event of each type, in the order of the variants.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::api::Timeouts;
use meridian_domain::limits::Limits;
use meridian_domain::reachability::{Evidence, Gateways, ProberGroup};
use meridian_domain::{
    Address, AgentDescription, AgentName, Api, ApiName, ApiPath, BackendUrl, ClusterId,
    DataVersion, DnsSettings, Epoch, Event, Incarnation, Network, NodeId, Preference, Region,
    RegionName, Revision, RoutingPolicy, ServiceName, Tier, Timestamp, UnitId, WhenDisabled, Zone,
    Zones,
};
use uuid::Uuid;

fn service() -> ServiceName {
    ServiceName::new("contoso").expect("is a name")
}

fn region() -> RegionName {
    RegionName::new("eastus").expect("is a name")
}

fn other_region() -> RegionName {
    RegionName::new("westeurope").expect("is a name")
}

fn network() -> Network {
    "10.1.0.0/16".parse().expect("is a network")
}

fn prober_groups() -> BTreeSet<ProberGroup> {
    let japan = RegionName::new("japaneast").expect("is a name");
    [japan, other_region()].map(ProberGroup::Region).into()
}

fn unit() -> UnitId {
    UnitId { service: service(), region: region(), slot: 1 }
}

fn agent() -> AgentName {
    AgentName::new("eastus-1").expect("is a name")
}

fn zones() -> Zones {
    [1, 2].map(|zone| Zone::try_from(zone).expect("is a zone")).into_iter().collect()
}

fn description() -> AgentDescription {
    AgentDescription {
        name: agent(),
        node: NodeId(46),
        region: region(),
        zone: Some(Zone::try_from(1).expect("is a zone")),
        witness: false,
        client_address: Address::new("127.0.1.2:7400").expect("is an address"),
        peer_address: Address::new("127.0.1.2:7401").expect("is an address"),
        gateway_host: "127.0.1.2".to_owned(),
        supports: DataVersion(1),
    }
}

fn api() -> Api {
    let backend = |text| BackendUrl::new(text).expect("is a backend");
    Api {
        name: ApiName::new("orders").expect("is a name"),
        path: ApiPath::new("/orders").expect("is a path"),
        backend: backend("http://orders"),
        regional: BTreeMap::from([(region(), backend("http://orders-us"))]),
        timeouts: Timeouts::default(),
    }
}

/// One event per variant.
pub fn events() -> Vec<Event> {
    let incarnation = Incarnation(43);
    let mars = Region {
        name: RegionName::new("mars").expect("is a name"),
        display_name: "Mars Base".to_owned(),
        latitude_microdegrees: -4_500_000,
        longitude_microdegrees: 137_400_000,
    };
    let cluster = ClusterId(Uuid::from_u128(0x0193_2f5e_8b1a_7c3d_9e4f_0123_4567_89ab));
    vec![
        Event::ClusterBootstrapped { cluster, data_version: DataVersion(1) },
        Event::DataVersionRaised { version: DataVersion(2) },
        Event::LimitsSet { limits: Limits::default() },
        Event::RegionDefined { region: mars },
        Event::HistoryTrimmed { through: Revision(4096) },
        Event::AgentRegistered { agent: description() },
        Event::AgentUpdated { agent: description() },
        Event::AgentDrained { agent: agent() },
        Event::AgentUndrained { agent: agent() },
        Event::AgentRemoved { agent: agent(), node: NodeId(46) },
        Event::ServiceCreated {
            service: service(),
            tier: Tier::Premium,
            primary: region(),
            port: 8080,
        },
        Event::TierChanged { service: service(), tier: Tier::Basic },
        Event::PortChanged { service: service(), port: 8081 },
        Event::ServiceDeleted { service: service() },
        Event::RegionAdded { service: service(), region: region(), units: 2, zones: zones() },
        Event::UnitsScaled { service: service(), region: region(), units: 1 },
        Event::ZonesChanged { service: service(), region: region(), zones: Zones::default() },
        Event::RegionRemoved { service: service(), region: region() },
        Event::PrimaryPromoted { service: service(), region: region() },
        Event::GatewayEnabled { service: service(), region: region() },
        Event::GatewayDisabled { service: service(), region: region() },
        Event::UnitAssigned { unit: unit(), incarnation, agent: agent() },
        Event::UnitReleased { unit: unit(), incarnation },
        Event::UnitReady { unit: unit(), incarnation, pid: Some(4711), configuration: Revision(7) },
        Event::UnitFailed {
            unit: unit(),
            incarnation,
            restarts: 3,
            next_try: Timestamp(1_700_000_000_006),
            cause: "exit code 1".to_owned(),
        },
        Event::UnitStopped { unit: unit(), incarnation },
        Event::ApiPublished { service: service(), api: api() },
        Event::ApiRemoved { service: service(), api: ApiName::new("orders").expect("is a name") },
        Event::UnitConfigured { unit: unit(), incarnation, configuration: Revision(7) },
        Event::RollStarted { service: service(), region: region() },
        Event::ClusterRecovered { epoch: Epoch(1) },
        Event::UnitRefused {
            unit: unit(),
            incarnation,
            configuration: Revision(8),
            cause: "host not found".to_owned(),
        },
    ]
    .into_iter()
    .chain(of_routing())
    .collect()
}

fn of_routing() -> [Event; 9] {
    [
        Event::RoutingChanged { service: service(), routing: RoutingPolicy::Weighted },
        Event::PreferenceChanged {
            service: service(),
            region: region(),
            preference: Preference { priority: 2, weight: 50 },
        },
        Event::DnsSet {
            settings: DnsSettings {
                zone: Some("gateways.example.net".parse().expect("is a zone")),
                ..DnsSettings::default()
            },
        },
        Event::NetworkAssigned { network: network(), region: region() },
        Event::NetworkRemoved { network: network() },
        Event::RoundTripMeasured { one: region(), other: other_region(), micros: 81_300 },
        Event::GatewaysLost {
            agent: agent(),
            gateways: Gateways::All,
            evidence: Evidence { unreachable_from: prober_groups(), groups: 2 },
            relapses: 0,
        },
        Event::GatewaysFound { agent: agent(), gateways: Gateways::All },
        Event::WhenDisabledChanged { service: service(), when_disabled: WhenDisabled::Redirect },
    ]
}
