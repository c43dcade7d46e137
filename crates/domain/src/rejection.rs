//! Why a command is refused. A refusal carries the rejections of its command, each with the names and
//! numbers that a reader needs to mend it, and at most [`limits::REJECTIONS`] of them.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, DataVersion, NodeId, Revision, Zones};
use crate::limits;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::tier::Tier;

/// One rule that a command breaks. Stored by position: append only.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[expect(
    missing_docs,
    reason = "the fields are named by what they hold, and each message says them"
)]
pub enum Rejection {
    /// The log has no cluster yet.
    #[error("the cluster is not founded yet")]
    NotFounded,
    /// The log has a cluster already.
    #[error("the cluster {cluster} is founded already")]
    AlreadyFounded { cluster: ClusterId },
    /// The data version would not rise.
    #[error("the data version is {current} already")]
    DataVersionNotNewer { current: DataVersion },
    /// Some agent could not read what would be written.
    #[error("agent {agent} supports data version {supports}, not {wanted}")]
    DataVersionUnsupported { agent: AgentName, supports: DataVersion, wanted: DataVersion },
    /// A limit is out of its range.
    #[error("the limit {limit} must be from {least} to {most}, not {given}")]
    LimitOutOfRange { limit: String, least: u16, most: u16, given: u16 },
    /// A limit of voters is even.
    #[error("the number of voters must be odd, not {given}")]
    VotersEven { given: u8 },
    /// A limit is below what some location has.
    #[error(
        "{service} has {units} units in {region}: a limit of {limit} for the {tier} tier is too low"
    )]
    LimitBelowUse { service: ServiceName, region: RegionName, units: u16, tier: Tier, limit: u16 },
    /// A region's name is taken by the catalogue.
    #[error("{region} is a region of the catalogue and cannot be defined again")]
    RegionInCatalogue { region: RegionName },
    /// A region's place is not on the globe.
    #[error("{region}: a latitude is from -90 to 90 degrees and a longitude from -180 to 180")]
    NotOnTheGlobe { region: RegionName },
    /// A region's display name is empty or too long.
    #[error("{region}: a display name has from 1 to {} characters", limits::DISPLAY_NAME_CHARS)]
    DisplayNameLength { region: RegionName },
    /// There are more of something than a cluster holds.
    #[error("a cluster has at most {most} {what}")]
    TooMany { what: String, most: u32 },
    /// The history ends before what is to be trimmed.
    #[error("cannot trim through revision {through}: the last event is {last}")]
    TrimBeyondEnd { through: Revision, last: Revision },

    /// No agent has that name.
    #[error("there is no agent {agent}{}", did_you_mean(nearest))]
    AgentUnknown { agent: AgentName, nearest: Vec<String> },
    /// Another machine has that agent's name.
    #[error(
        "the name {agent} belongs to node {node}; if that machine or its disk is gone, remove the \
         agent first"
    )]
    AgentNameTaken { agent: AgentName, node: NodeId },
    /// Another agent has that node id.
    #[error("node {node} is registered as agent {agent}")]
    NodeTaken { agent: AgentName, node: NodeId },
    /// What is fixed for an agent's life was changed.
    #[error("agent {agent} cannot change its {what}: remove it and join it as a new agent")]
    AgentChanged { agent: AgentName, what: String },
    /// An agent's description is not well-formed.
    #[error("agent {agent}: {given:?} is not a host name or an IP address")]
    NotAHost { agent: AgentName, given: String },
    /// Somebody has to keep the log.
    #[error("{agent} is the last agent that can hold the log; it cannot be drained or removed")]
    LastAgent { agent: AgentName },

    /// No service has that name.
    #[error("there is no service {service}{}", did_you_mean(nearest))]
    ServiceUnknown { service: ServiceName, nearest: Vec<String> },
    /// A service has that name.
    #[error("the service {service} exists already")]
    ServiceExists { service: ServiceName },
    /// The service was changed since.
    #[error(
        "{service} {} revision {expected}: it is at revision {current}",
        if expected < current { "was changed since" } else { "is not yet at" }
    )]
    Conflict { service: ServiceName, expected: Revision, current: Revision },
    /// Nothing to do.
    #[error("the change set has no edits")]
    NoEdits,
    /// A region was edited twice in one change set.
    #[error("{region} is edited more than once in one change set")]
    EditedTwice { region: RegionName },
    /// No region has that name.
    #[error("there is no region {region}{}", did_you_mean(nearest))]
    RegionUnknown { region: RegionName, nearest: Vec<String> },
    /// The service has that region.
    #[error("{service} is in {region} already")]
    RegionExists { service: ServiceName, region: RegionName },
    /// The service does not have that region.
    #[error("{service} is not in {region}")]
    RegionAbsent { service: ServiceName, region: RegionName },
    /// The primary region was to go.
    #[error("{region} is the primary region of {service}; promote another one before removing it")]
    PrimaryRemoved { service: ServiceName, region: RegionName },
    /// A location has at least one unit.
    #[error("{region}: a location has at least 1 unit; to have none, remove the region")]
    NoUnits { region: RegionName },
    /// The tier has a limit.
    #[error("{region}: {units} units are more than the {most} of the {tier} tier")]
    TooManyUnits { region: RegionName, units: u16, most: u16, tier: Tier },
    /// The units cannot be spread evenly.
    #[error("{region}: {units} units cannot be spread evenly over {zones} zones")]
    UnevenZones { region: RegionName, units: u16, zones: u16 },
    /// Only premium has several regions.
    #[error(
        "{service} would have {regions} regions; the {tier} tier has 1, only premium has several"
    )]
    SeveralRegions { service: ServiceName, regions: u32, tier: Tier },
    /// The port belongs to the system.
    #[error(
        "port {port} cannot be a gateway's: use one from {} to 65535",
        limits::LOWEST_GATEWAY_PORT
    )]
    PortReserved { port: u16 },
    /// The port is another service's.
    #[error("port {port} is the gateway port of {service}")]
    PortTaken { port: u16, service: ServiceName },
    /// No port is left.
    #[error("no gateway port is free from {} up", limits::FIRST_GATEWAY_PORT)]
    NoFreePort,

    /// The report is older than one that was taken in.
    #[error("the report of agent {agent} is older than one that was taken in")]
    StaleReport { agent: AgentName },

    /// The software that was asked does not know that data version.
    #[error("the leader's software supports data version {newest}, not {wanted}")]
    DataVersionUnknown { wanted: DataVersion, newest: DataVersion },
    /// A region's display name has a control character in it.
    #[error("{region}: a display name must not contain control characters")]
    DisplayNameControl { region: RegionName },
    /// The change set is too long.
    #[error("a change set has at most {most} edits; this one has {given}")]
    TooManyEdits { given: u32, most: u32 },
    /// Something that a service has one of was given more than once in one change set.
    #[error("the change set gives more than one {what}")]
    GivenTwice { what: String },
    /// The report is too long.
    #[error("a report has at most {most} units; that of agent {agent} has {given}")]
    ReportTooLong { agent: AgentName, given: u32, most: u32 },
    /// The service would have too many locations.
    #[error("{service} would have {given} regions; a service has at most {most}")]
    TooManyLocations { service: ServiceName, given: u32, most: u32 },
    /// The last of a refusal that names no further ones, of which there are more.
    #[error("and {count} more rejections")]
    AndMore { count: u32 },
    /// The service has no such API.
    #[error("{service} has no API {api}{}", did_you_mean(nearest))]
    ApiUnknown { service: ServiceName, api: ApiName, nearest: Vec<String> },
    /// Two APIs would get the same calls.
    #[error("{path} is the path of the API {other} already; {api} needs another one")]
    PathTaken { api: ApiName, path: String, other: ApiName },
    /// Calls would come back to where they came from.
    #[error("{api}: the backend {backend} is the gateway of agent {agent}: calls would go round")]
    BackendIsGateway { api: ApiName, backend: String, agent: AgentName },
    /// A time-out is out of its range.
    #[error(
        "{api}: the {which} time-out must be from 1 to {} ms, not {given}",
        limits::LONGEST_TIMEOUT_MS
    )]
    TimeoutOutOfRange { api: ApiName, which: String, given: u32 },
    /// An API was edited twice in one change set.
    #[error("the API {api} is edited more than once in one change set")]
    ApiEditedTwice { api: ApiName },
    /// The service would have too many APIs.
    #[error("{service} would have {given} APIs; a service has at most {most}")]
    TooManyApis { service: ServiceName, given: u32, most: u32 },
    /// An API would have too many backends.
    #[error("{api} has backends for {given} regions; an API has at most {most}")]
    TooManyBackends { api: ApiName, given: u32, most: u32 },
    /// A machine runs only so many processes.
    #[error("agent {agent} would have {units} units; it runs at most {most}: add agents there")]
    AgentFull { agent: AgentName, units: u32, most: u32 },
    /// Nobody could run the units of some zones.
    #[error("{region} has no agent in zone {}; {}", listed(empty, "or"), homes(agents_in))]
    ZoneWithoutAgent { region: RegionName, empty: Zones, agents_in: Zones },
}

fn homes(zones: &Zones) -> String {
    match zones.len() {
        0 => "its agents are in no zone".to_owned(),
        1 => format!("its agents are in zone {}", listed(zones, "and")),
        _ => format!("its agents are in the zones {}", listed(zones, "and")),
    }
}

/// Zones as people list them: `1, 2 or 3`.
fn listed(zones: &Zones, word: &str) -> String {
    let numbers: Vec<String> = zones.iter().map(ToString::to_string).collect();
    match numbers.as_slice() {
        [others @ .., last] if !others.is_empty() => {
            format!("{} {word} {last}", others.join(", "))
        }
        all => all.concat(),
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [only] => format!("; did you mean {only}?"),
        [others @ .., last] => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}
