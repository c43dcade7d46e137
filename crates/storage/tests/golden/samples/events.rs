//! A sample of every event.

use super::*;

pub fn events() -> Vec<Event> {
    let agent = agent_description;
    let (service, region, unit) = (service_name, region_name, unit_id);
    let incarnation = Incarnation(43);
    vec![
        Event::ClusterBootstrapped { cluster: cluster(), data_version: DataVersion(1) },
        Event::DataVersionRaised { version: DataVersion(2) },
        Event::LimitsSet { limits: limits() },
        Event::RegionDefined { region: self::region() },
        Event::HistoryTrimmed { through: Revision(44) },
        Event::AgentRegistered { agent: agent() },
        Event::AgentUpdated { agent: agent() },
        Event::AgentDrained { agent: agent_name() },
        Event::AgentUndrained { agent: agent_name() },
        Event::AgentRemoved { agent: agent_name(), node: NodeId(45) },
        Event::ServiceCreated {
            service: service(),
            tier: Tier::Premium,
            primary: region(),
            port: 8085,
        },
        Event::TierChanged { service: service(), tier: Tier::Developer },
        Event::PortChanged { service: service(), port: 8086 },
        Event::ServiceDeleted { service: service() },
        Event::RegionAdded { service: service(), region: region(), units: 6, zones: zones() },
        Event::UnitsScaled { service: service(), region: region(), units: 7 },
        Event::ZonesChanged { service: service(), region: region(), zones: zones() },
        Event::RegionRemoved { service: service(), region: region() },
        Event::PrimaryPromoted { service: service(), region: region() },
        Event::GatewayEnabled { service: service(), region: region() },
        Event::GatewayDisabled { service: service(), region: region() },
        Event::UnitAssigned { unit: unit(), incarnation, agent: agent_name() },
        Event::UnitReleased { unit: unit(), incarnation },
        Event::UnitReady {
            unit: unit(),
            incarnation,
            pid: Some(4713),
            configuration: Revision(84),
        },
        Event::UnitFailed {
            unit: unit(),
            incarnation,
            restarts: 8,
            next_try: Timestamp(1_700_000_000_006),
            cause: "exit status 2".to_owned(),
        },
        Event::UnitStopped { unit: unit(), incarnation },
        Event::ApiPublished { service: service(), api: api() },
        Event::ApiRemoved { service: service(), api: api_name() },
        Event::UnitConfigured { unit: unit(), incarnation, configuration: Revision(85) },
        Event::RollStarted { service: service(), region: region() },
        Event::ClusterRecovered { epoch: Epoch(87) },
        Event::UnitRefused {
            unit: unit(),
            incarnation,
            configuration: Revision(88),
            cause: "host not found".to_owned(),
        },
    ]
    .into_iter()
    .chain(of_routing())
    .collect()
}

fn of_routing() -> [Event; 9] {
    let (agent, service, region) = (agent_name, service_name, region_name);
    [
        Event::RoutingChanged { service: service(), routing: RoutingPolicy::Weighted },
        Event::PreferenceChanged { service: service(), region: region(), preference: preference() },
        Event::DnsSet { settings: dns() },
        Event::NetworkAssigned { network: network(), region: region() },
        Event::NetworkRemoved { network: network() },
        Event::RoundTripMeasured { one: other_region_name(), other: region(), micros: 109_000 },
        Event::GatewaysLost {
            agent: agent(),
            gateways: Gateways::All,
            evidence: evidence(),
            relapses: 110,
        },
        Event::GatewaysFound { agent: agent(), gateways: Gateways::Of(service()) },
        Event::WhenDisabledChanged { service: service(), when_disabled: WhenDisabled::Redirect },
    ]
}
