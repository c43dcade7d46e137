//! A sample of every rejection.

use super::*;

pub fn rejections() -> Vec<Rejection> {
    let (agent, service, region) = (agent_name, service_name, region_name);
    let text = str::to_owned;
    let nearest = || vec![text("northeurope")];
    vec![
        Rejection::NotBootstrapped,
        Rejection::AlreadyBootstrapped { cluster: cluster() },
        Rejection::DataVersionNotNewer { current: DataVersion(3) },
        Rejection::DataVersionUnsupported {
            agent: agent(),
            supports: DataVersion(4),
            requested: DataVersion(5),
        },
        Rejection::LimitOutOfRange { limit: text("voters"), min: 1, max: 54, requested: 55 },
        Rejection::VotersEven { requested: 56 },
        Rejection::LimitBelowUse {
            service: service(),
            region: region(),
            units: 57,
            tier: Tier::Basic,
            limit: 58,
        },
        Rejection::RegionInCatalog { region: region() },
        Rejection::CoordinatesOutOfRange { region: region() },
        Rejection::DisplayNameLength { region: region() },
        Rejection::TooMany { resource: text("services"), max: 59 },
        Rejection::TrimBeyondEnd { through: Revision(60), last: Revision(61) },
        Rejection::AgentUnknown { agent: agent(), nearest: nearest() },
        Rejection::AgentNameTaken { agent: agent(), node: NodeId(62) },
        Rejection::NodeTaken { agent: agent(), node: NodeId(63) },
        Rejection::ImmutableAgentField { agent: agent(), field: text("region") },
        Rejection::InvalidGatewayHost { agent: agent(), host: text("a b") },
        Rejection::LastAgent { agent: agent() },
        Rejection::ServiceUnknown { service: service(), nearest: nearest() },
        Rejection::ServiceExists { service: service() },
        Rejection::Conflict { service: service(), expected: Revision(64), current: Revision(65) },
        Rejection::NoEdits,
        Rejection::DuplicateRegionEdit { region: region() },
        Rejection::RegionUnknown { region: region(), nearest: nearest() },
        Rejection::RegionExists { service: service(), region: region() },
        Rejection::RegionAbsent { service: service(), region: region() },
        Rejection::PrimaryRemoved { service: service(), region: region() },
        Rejection::NoUnits { region: region() },
        Rejection::TooManyUnits { region: region(), units: 66, max: 67, tier: Tier::Standard },
        Rejection::UnevenZones { region: region(), units: 68, zones: 69 },
        Rejection::SeveralRegions { service: service(), regions: 70, tier: Tier::Developer },
        Rejection::PortReserved { port: 71 },
        Rejection::PortTaken { port: 72, service: service() },
        Rejection::NoFreePort,
        Rejection::StaleReport { agent: agent() },
        Rejection::DataVersionUnknown { requested: DataVersion(6), newest: DataVersion(7) },
        Rejection::DisplayNameControl { region: region() },
        Rejection::TooManyEdits { actual: 73, max: 74 },
        Rejection::DuplicateEdit { field: text("tier") },
        Rejection::ReportTooLong { agent: agent(), actual: 75, max: 76 },
        Rejection::TooManyLocations { service: service(), actual: 77, max: 78 },
        Rejection::AndMore { count: 79 },
        Rejection::ApiUnknown { service: service(), api: api_name(), nearest: nearest() },
        Rejection::PathTaken { api: api_name(), path: text("/orders"), other: other_api() },
        Rejection::BackendIsGateway {
            api: api_name(),
            backend: text("http://127.0.1.1:8080"),
            agent: agent(),
        },
        Rejection::TimeoutOutOfRange { api: api_name(), timeout: text("idle"), requested_ms: 86 },
        Rejection::DuplicateApiEdit { api: api_name() },
    ]
    .into_iter()
    .chain(of_agents_and_ports())
    .chain(of_routing())
    .collect()
}

fn of_agents_and_ports() -> [Rejection; 6] {
    let (agent, service, region) = (agent_name, service_name, region_name);
    [
        Rejection::TooManyApis { service: service(), actual: 87, max: 88 },
        Rejection::TooManyBackends { api: api_name(), actual: 89, max: 90 },
        Rejection::AgentFull { agent: agent(), units: 91, max: 92 },
        Rejection::ZoneWithoutAgent { region: region(), empty: zones(), agents_in: zones() },
        Rejection::PortStillUsed { port: 93, service: service(), agent: agent() },
        Rejection::PortOfAgent { port: 94, agent: agent() },
    ]
}

fn of_routing() -> [Rejection; 8] {
    let (agent, service, region, text) = (agent_name, service_name, region_name, str::to_owned);
    [
        Rejection::ServiceNameReserved { service: service() },
        Rejection::PreferenceOutOfRange {
            region: region(),
            field: text("weight"),
            min: 111,
            max: 112,
            requested: 113,
        },
        Rejection::DnsSettingOutOfRange {
            setting: text("ttl"),
            min: 114,
            max: 115,
            requested: 116,
        },
        Rejection::GatewayHostInZone {
            agent: agent(),
            host: text("eu.example.net"),
            zone: text("example.net"),
        },
        Rejection::DuplicateNetwork { network: network() },
        Rejection::NetworkUnknown { network: network() },
        Rejection::NoMajority { agent: agent(), votes: 117, groups: 118 },
        Rejection::StaleVotes { agent: agent() },
    ]
}
