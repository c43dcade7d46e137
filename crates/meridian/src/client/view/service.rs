//! Services, their regions and their units.

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{NONE, Row, cell, cells_of, yes_no};

use super::{ApiView, served, text};

/// A service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// `developer`, `basic`, `standard` or `premium`.
    pub tier: String,
    /// Its primary region.
    pub primary: String,
    /// The TCP port of its gateways.
    pub port: u32,
    /// Units wanted in all its regions together.
    pub units: u32,
    /// Its regions, the primary first.
    pub regions: Vec<String>,
    /// The last event that changed its configuration: what `--expect-revision` compares.
    pub revision: u64,
    /// The last event that changed what its units serve: what those of its regions and units come
    /// up to.
    pub configuration: u64,
}

impl From<v1::Service> for ServiceView {
    fn from(service: v1::Service) -> Self {
        Self {
            name: service.name,
            tier: service.tier,
            primary: service.primary,
            port: service.port,
            units: service.units,
            regions: service.regions,
            revision: service.revision,
            configuration: service.configuration,
        }
    }
}

impl Row for ServiceView {
    const HEADS: &'static [&'static str] =
        &["NAME", "TIER", "PRIMARY", "REGIONS", "UNITS", "PORT", "REVISION", "CONFIG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.tier.clone(),
            self.primary.clone(),
            self.regions.len().to_string(),
            self.units.to_string(),
            self.port.to_string(),
            self.revision.to_string(),
            self.configuration.to_string(),
        ]
    }
}

/// A service with its regions and its APIs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDetailView {
    /// The service; its keys stand beside `locations`.
    #[serde(flatten)]
    pub service: ServiceView,
    /// Its regions, as in `region list`.
    pub locations: Vec<LocationView>,
    /// Its APIs, as in `api list`.
    pub apis: Vec<ApiView>,
}

/// A region of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocationView {
    /// The region's short name.
    pub region: String,
    /// The name that people read.
    pub display_name: String,
    /// Whether it is the service's primary region.
    pub primary: bool,
    /// Units wanted there.
    pub units: u32,
    /// Places of these that have a unit which answers.
    pub ready_units: u32,
    /// The zones that they are spread over; empty for none.
    pub zones: Vec<u32>,
    /// Whether callers are served there.
    pub gateway_enabled: bool,
    /// How the region is.
    pub status: StatusWord,
    /// Where callers reach the gateway there; null where no agent lives.
    pub gateway_url: Option<String>,
    /// The oldest configuration that a ready unit there serves; null where none is ready.
    pub configuration: Option<u64>,
    /// Whether as many units answer as are wanted, none is to be replaced, and all serve the service's
    /// present configuration; also said of a disabled region, whose status says only that.
    pub converged: bool,
    /// What keeps it from converging by itself; null where nothing is known to.
    pub blocked_reason: Option<String>,
}

/// How a region of a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StatusWord {
    /// As many units answer as are wanted, and all serve the service's present configuration.
    Ready,
    /// Some unit is not ready yet, is to be replaced, or serves an older configuration.
    Converging,
    /// No agent lives there that could run units.
    NoAgent,
    /// The leader has not heard of an agent there for a while.
    AgentUnreachable,
    /// Its gateway is disabled.
    Disabled,
    /// It was removed; its units finish their calls.
    Removing,
    /// A newer agent says something that this client does not know.
    Unknown,
}

impl StatusWord {
    /// As people and programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Converging => "converging",
            Self::NoAgent => "noAgent",
            Self::AgentUnreachable => "agentUnreachable",
            Self::Disabled => "disabled",
            Self::Removing => "removing",
            Self::Unknown => "unknown",
        }
    }
}

impl From<v1::LocationStatus> for StatusWord {
    fn from(status: v1::LocationStatus) -> Self {
        match status {
            v1::LocationStatus::Unspecified => Self::Unknown,
            v1::LocationStatus::Ready => Self::Ready,
            v1::LocationStatus::Converging => Self::Converging,
            v1::LocationStatus::NoAgent => Self::NoAgent,
            v1::LocationStatus::AgentUnreachable => Self::AgentUnreachable,
            v1::LocationStatus::Disabled => Self::Disabled,
            v1::LocationStatus::Removing => Self::Removing,
        }
    }
}

impl From<v1::Location> for LocationView {
    fn from(location: v1::Location) -> Self {
        Self {
            status: location.status().into(),
            region: location.region,
            display_name: location.display_name,
            primary: location.primary,
            units: location.units,
            ready_units: location.ready_units,
            zones: location.zones,
            gateway_enabled: location.gateway_enabled,
            gateway_url: text(location.gateway_url),
            configuration: served(location.configuration),
            converged: location.converged,
            blocked_reason: text(location.blocked_reason),
        }
    }
}

impl Row for LocationView {
    const HEADS: &'static [&'static str] = &[
        "REGION", "NAME", "PRIMARY", "READY", "UNITS", "ZONES", "GATEWAY", "STATUS", "CONFIG",
        "URL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            self.display_name.clone(),
            yes_no(self.primary),
            self.ready_units.to_string(),
            self.units.to_string(),
            cells_of(&self.zones),
            if self.gateway_enabled { "enabled".to_owned() } else { "disabled".to_owned() },
            self.status.as_str().to_owned(),
            cell(self.configuration.as_ref()),
            cell(self.gateway_url.as_ref()),
        ]
    }
}

/// A unit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitView {
    /// Such as `contoso/westeurope/1`.
    pub unit: String,
    /// Which assignment of it this is.
    pub incarnation: u64,
    /// The service whose calls it answers.
    pub service: String,
    /// The region that it serves.
    pub region: String,
    /// The agent that runs it.
    pub agent: String,
    /// `starting`, `ready`, `failed` or `draining`.
    pub state: String,
    /// Its process on the agent's machine; null while it does not run.
    pub pid: Option<u32>,
    /// Where callers reach it, `host:port`; null where that is not known.
    pub address: Option<String>,
    /// Why it failed; null if it did not.
    pub cause: Option<String>,
    /// Starts that failed in a row.
    pub restarts: u32,
    /// The revision of the configuration that it serves; null while it is not ready.
    pub configuration: Option<u64>,
    /// Calls that ran on it some seconds ago; null where its agent does not say.
    pub in_flight: Option<u32>,
    /// Calls that run, of those that it takes at a time: 0 to 1, smoothed; null likewise.
    pub utilisation: Option<f64>,
}

impl From<v1::Unit> for UnitView {
    fn from(unit: v1::Unit) -> Self {
        Self {
            unit: unit.unit,
            incarnation: unit.incarnation,
            service: unit.service,
            region: unit.region,
            agent: unit.agent,
            state: unit.state,
            pid: unit.pid,
            address: text(unit.address),
            cause: text(unit.cause),
            restarts: unit.restarts,
            configuration: served(unit.configuration),
            in_flight: unit.in_flight,
            utilisation: unit.utilisation_permille.map(|load| f64::from(load) / 1_000.0),
        }
    }
}

impl Row for UnitView {
    const HEADS: &'static [&'static str] = &[
        "UNIT",
        "INCARNATION",
        "AGENT",
        "STATE",
        "PID",
        "ADDRESS",
        "CONFIG",
        "LOAD",
        "RESTARTS",
        "CAUSE",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.unit.clone(),
            self.incarnation.to_string(),
            self.agent.clone(),
            self.state.clone(),
            cell(self.pid.as_ref()),
            cell(self.address.as_ref()),
            cell(self.configuration.as_ref()),
            cell(self.utilisation.map(|load| format!("{:.0} %", load * 100.0)).as_ref()),
            self.restarts.to_string(),
            cell(self.cause.as_ref()),
        ]
    }
}

/// A region of the catalogue.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionView {
    /// Its short name.
    pub region: String,
    /// The name that people read.
    pub display_name: String,
    /// Degrees north of the equator.
    pub latitude: f64,
    /// Degrees east of Greenwich.
    pub longitude: f64,
    /// Agents that live there.
    pub agents: u32,
    /// Whether an operator defined it.
    pub custom: bool,
}

impl From<v1::Region> for RegionView {
    fn from(region: v1::Region) -> Self {
        Self {
            region: region.name,
            display_name: region.display_name,
            latitude: region.latitude,
            longitude: region.longitude,
            agents: region.agents,
            custom: region.custom,
        }
    }
}

impl Row for RegionView {
    const HEADS: &'static [&'static str] =
        &["REGION", "NAME", "LATITUDE", "LONGITUDE", "AGENTS", "ORIGIN"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            self.display_name.clone(),
            format!("{:.4}", self.latitude),
            format!("{:.4}", self.longitude),
            if self.agents == 0 { NONE.to_owned() } else { self.agents.to_string() },
            if self.custom { "custom".to_owned() } else { "catalogue".to_owned() },
        ]
    }
}
