//! Reasons to reject a command. A rejected command has one [`Rejection`] for every rule that it
//! violates, at most [`limits::REJECTIONS`], each with the names and numbers needed to correct it.

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::id::{ClusterId, DataVersion, NodeId, Revision, Zones};
use crate::limits;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::nearest::did_you_mean;
use crate::network::Network;
use crate::tier::Tier;

/// A rule that a command violates. Stored by position: append only.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantNames,
    thiserror::Error,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "names, types and messages document the fields")]
pub enum Rejection {
    /// No cluster exists yet.
    #[error("the cluster is not bootstrapped yet")]
    NotBootstrapped,
    /// A cluster with another id exists.
    #[error("the cluster is already bootstrapped with id {cluster}")]
    AlreadyBootstrapped { cluster: ClusterId },
    /// The data version would not rise.
    #[error("the data version is already {current}")]
    DataVersionNotNewer { current: DataVersion },
    /// An agent could not decode what would be written.
    #[error("agent {agent} supports data version {supports}, not {requested}; upgrade it first")]
    DataVersionUnsupported { agent: AgentName, supports: DataVersion, requested: DataVersion },
    /// A limit is out of its range.
    #[error("limit {limit} must be between {min} and {max}, got {requested}")]
    LimitOutOfRange { limit: String, min: u16, max: u16, requested: u16 },
    /// The limit of voters is even.
    #[error("limit voters must be odd, got {requested}")]
    VotersEven { requested: u8 },
    /// A limit is below the current number of units of a location.
    #[error(
        "{service} has {units} units in {region}, more than the new limit of {limit} for the \
         {tier} tier; scale it down first"
    )]
    LimitBelowUse { service: ServiceName, region: RegionName, units: u16, tier: Tier, limit: u16 },
    /// The catalog has a region of that name.
    #[error("region {region} is in the catalog and cannot be redefined")]
    RegionInCatalog { region: RegionName },
    /// The coordinates of a region are out of range.
    #[error(
        "region {region}: latitude must be between -90 and 90 degrees, longitude between -180 \
         and 180"
    )]
    CoordinatesOutOfRange { region: RegionName },
    /// The display name of a region is blank or too long.
    #[error(
        "region {region}: display name must have 1 to {} characters",
        limits::DISPLAY_NAME_CHARS
    )]
    DisplayNameLength { region: RegionName },
    /// The cluster has the maximum number of a resource.
    #[error("a cluster can have at most {max} {resource}")]
    TooMany { resource: String, max: u32 },
    /// The history ends before the revision to trim through.
    #[error("cannot trim through revision {through}; the last revision is {last}")]
    TrimBeyondEnd { through: Revision, last: Revision },

    /// No agent has that name.
    #[error("agent {agent} not found{}", did_you_mean(nearest))]
    AgentUnknown { agent: AgentName, nearest: Vec<String> },
    /// Another node is registered under that agent name.
    #[error(
        "agent name {agent} belongs to node {node}; if that machine or its disk is gone, remove \
         the agent first"
    )]
    AgentNameTaken { agent: AgentName, node: NodeId },
    /// Another agent is registered with that node id.
    #[error("node {node} is already registered as agent {agent}")]
    NodeTaken { agent: AgentName, node: NodeId },
    /// An immutable field of an agent would change.
    #[error("agent {agent}: {field} is immutable; remove the agent and join it again")]
    ImmutableAgentField { agent: AgentName, field: String },
    /// The gateway host of an agent is invalid.
    #[error("agent {agent}: {host:?} is not a valid host name or IP address")]
    InvalidGatewayHost { agent: AgentName, host: String },
    /// The cluster would have no agent left that can vote.
    #[error(
        "{agent} is the last voter-capable agent and cannot be drained or removed; join or undrain \
         another agent first"
    )]
    LastAgent { agent: AgentName },

    /// No service has that name.
    #[error("service {service} not found{}", did_you_mean(nearest))]
    ServiceUnknown { service: ServiceName, nearest: Vec<String> },
    /// A service has that name.
    #[error("service {service} already exists")]
    ServiceExists { service: ServiceName },
    /// The service is not at the expected revision.
    #[error(
        "service {service} {} revision {expected}; it is at revision {current}",
        if expected < current { "was changed after" } else { "has not reached" }
    )]
    Conflict { service: ServiceName, expected: Revision, current: Revision },
    /// The change set is empty.
    #[error("the change set has no edits")]
    NoEdits,
    /// Two edits of a change set are about the same aspect of a region.
    #[error("region {region} is edited more than once in one change set")]
    DuplicateRegionEdit { region: RegionName },
    /// No region has that name.
    #[error("region {region} not found{}", did_you_mean(nearest))]
    RegionUnknown { region: RegionName, nearest: Vec<String> },
    /// The service has a location in that region.
    #[error("service {service} already has region {region}")]
    RegionExists { service: ServiceName, region: RegionName },
    /// The service has no location in that region.
    #[error("service {service} has no region {region}")]
    RegionAbsent { service: ServiceName, region: RegionName },
    /// The primary region would be removed.
    #[error(
        "{region} is the primary region of {service}; promote another region before removing it"
    )]
    PrimaryRemoved { service: ServiceName, region: RegionName },
    /// A location would have no units.
    #[error("region {region} needs at least 1 unit; to run none, remove the region")]
    NoUnits { region: RegionName },
    /// A location would exceed the unit limit of its tier.
    #[error("region {region}: {units} units exceed the {tier} tier's limit of {max}")]
    TooManyUnits { region: RegionName, units: u16, max: u16, tier: Tier },
    /// The units cannot be spread evenly over the zones.
    #[error(
        "region {region}: {units} units cannot be spread evenly over {zones} zones; use a multiple \
         of {zones}"
    )]
    UnevenZones { region: RegionName, units: u16, zones: u16 },
    /// The tier allows one region only.
    #[error(
        "{service} would have {regions} regions; the {tier} tier allows 1, only premium allows more"
    )]
    SeveralRegions { service: ServiceName, regions: u32, tier: Tier },
    /// The port is reserved for the system.
    #[error(
        "port {port} is reserved; use a gateway port from {} to 65535",
        limits::MIN_GATEWAY_PORT
    )]
    PortReserved { port: u16 },
    /// Another service uses the port.
    #[error("port {port} is already the gateway port of {service}")]
    PortTaken { port: u16, service: ServiceName },
    /// No gateway port is free.
    #[error("no gateway port from {} up is free", limits::FIRST_GATEWAY_PORT)]
    NoFreePort,

    /// A newer report of the agent was applied before.
    #[error("report of agent {agent} is stale: a newer one was already applied")]
    StaleReport { agent: AgentName },

    /// The software of the leader does not know that data version.
    #[error("the leader supports data version {newest}, not {requested}; upgrade it first")]
    DataVersionUnknown { requested: DataVersion, newest: DataVersion },
    /// The display name of a region has a control character.
    #[error("region {region}: display name must not contain control characters")]
    DisplayNameControl { region: RegionName },
    /// The change set has too many edits.
    #[error("a change set can have at most {max} edits, got {actual}")]
    TooManyEdits { actual: u32, max: u32 },
    /// Two edits of a change set set the same field of the service.
    #[error("the change set sets the {field} more than once")]
    DuplicateEdit { field: String },
    /// The report has too many units.
    #[error("report of agent {agent} has {actual} units; the maximum is {max}")]
    ReportTooLong { agent: AgentName, actual: u32, max: u32 },
    /// The service would have too many locations.
    #[error("{service} would have {actual} regions; the maximum is {max}")]
    TooManyLocations { service: ServiceName, actual: u32, max: u32 },
    /// Number of further rejections that are left out. Always the last one.
    #[error("and {count} more")]
    AndMore { count: u32 },
    /// The service has no API of that name.
    #[error("service {service} has no API {api}{}", did_you_mean(nearest))]
    ApiUnknown { service: ServiceName, api: ApiName, nearest: Vec<String> },
    /// Two APIs of a service would have the same path.
    #[error("path {path} is already used by API {other}; choose another path for {api}")]
    PathTaken { api: ApiName, path: String, other: ApiName },
    /// Requests would be forwarded to a gateway of this cluster.
    #[error(
        "API {api}: backend {backend} is the gateway of agent {agent}; this would create a \
         forwarding loop"
    )]
    BackendIsGateway { api: ApiName, backend: String, agent: AgentName },
    /// A timeout is out of its range.
    #[error(
        "API {api}: {timeout} timeout must be between 1 and {} ms, got {requested_ms}",
        limits::MAX_TIMEOUT_MS
    )]
    TimeoutOutOfRange { api: ApiName, timeout: String, requested_ms: u32 },
    /// Two edits of a change set are about the same API.
    #[error("API {api} is edited more than once in one change set")]
    DuplicateApiEdit { api: ApiName },
    /// The service would have too many APIs.
    #[error("{service} would have {actual} APIs; the maximum is {max}")]
    TooManyApis { service: ServiceName, actual: u32, max: u32 },
    /// An API would have backends for too many regions.
    #[error("API {api} has backends for {actual} regions; the maximum is {max}")]
    TooManyBackends { api: ApiName, actual: u32, max: u32 },
    /// An agent would run too many units.
    #[error(
        "agent {agent} would have {units} units; the maximum is {max}; add agents in its region"
    )]
    AgentFull { agent: AgentName, units: u32, max: u32 },
    /// Some zones of a location have no agent that can run units.
    #[error(
        "region {region} has no agent in {}; {}",
        zones_text(empty, "or"),
        agents_text(agents_in)
    )]
    ZoneWithoutAgent { region: RegionName, empty: Zones, agents_in: Zones },
    /// Units of another service listen on the port, or still drain on it.
    #[error(
        "port {port} is still used by units of {service} on agent {agent}; choose another port, or \
         wait until they have stopped"
    )]
    PortStillUsed { port: u16, service: ServiceName, agent: AgentName },
    /// An agent listens on the port itself.
    #[error("port {port} is used by agent {agent} itself")]
    PortOfAgent { port: u16, agent: AgentName },
    /// The name of the service has another meaning in the DNS zone.
    #[error("the service name {service} is reserved for DNS; choose another one")]
    ServiceNameReserved { service: ServiceName },
    /// The priority or the weight of a location is out of its range.
    #[error("region {region}: {field} must be between {min} and {max}, got {requested}")]
    PreferenceOutOfRange { region: RegionName, field: String, min: u16, max: u16, requested: u16 },
    /// A setting of the name servers is out of its range.
    #[error("DNS setting {setting} must be between {min} and {max}, got {requested}")]
    DnsSettingOutOfRange { setting: String, min: u16, max: u16, requested: u16 },
    /// The gateways of an agent have a name in the DNS zone, whose addresses would be looked up to
    /// respond to the lookup.
    #[error(
        "agent {agent}: gateway host {host} is in the DNS zone {zone}; use an address, or a name in \
         another zone"
    )]
    GatewayHostInZone { agent: AgentName, host: String, zone: String },
    /// A network occurs more than once in one request.
    #[error("network {network} is given more than once")]
    DuplicateNetwork { network: Network },
    /// The network is assigned to no region.
    #[error("network {network} not found")]
    NetworkUnknown { network: Network },
    /// Too few groups cannot reach the gateways of an agent.
    #[error("{votes} of {groups} groups cannot reach the gateways of agent {agent}: no majority")]
    NoMajority { agent: AgentName, votes: u8, groups: u8 },
    /// The agent has restarted since its gateways were probed.
    #[error("the votes on agent {agent} are stale: it has restarted since")]
    StaleVotes { agent: AgentName },
}

impl Rejection {
    /// Type names of all rejections, in stored order.
    pub const TYPE_NAMES: &[&str] = Self::VARIANTS;

    /// Returns the type of the rejection as clients see it, such as `REGION_EXISTS`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.into()
    }
}

fn agents_text(zones: &Zones) -> String {
    if zones.is_empty() {
        return "its agents have no zone".to_owned();
    }
    format!("its agents are in {}", zones_text(zones, "and"))
}

/// Formats zones as text, such as `zone 1` or `zones 1, 2 or 3`.
fn zones_text(zones: &Zones, conjunction: &str) -> String {
    let numbers: Vec<String> = zones.iter().map(ToString::to_string).collect();
    match numbers.as_slice() {
        [others @ .., last] if !others.is_empty() => {
            format!("zones {} {conjunction} {last}", others.join(", "))
        }
        one_or_none => format!("zone {}", one_or_none.concat()),
    }
}
