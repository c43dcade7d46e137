//! Services, and the regions of the catalog.

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{NONE, Row};

use super::{ApiView, LocationView};

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
    /// TCP port of its gateways.
    pub port: u32,
    /// Policy that chooses the region of a client: `nearest`, `priority` or `weighted`.
    pub routing: String,
    /// Responses of its gateways where they are disabled: `refuse` or `redirect`.
    pub when_disabled: String,
    /// Units declared in all its regions together.
    pub units: u32,
    /// Its regions, the primary first.
    pub regions: Vec<String>,
    /// Revision of the last event that changed it: compared by `--expect-revision`.
    pub revision: u64,
    /// Revision of the last event that changed the configuration of its units.
    pub configuration: u64,
}

impl From<v1::Service> for ServiceView {
    fn from(service: v1::Service) -> Self {
        Self {
            name: service.name,
            tier: service.tier,
            primary: service.primary,
            port: service.port,
            routing: service.routing,
            when_disabled: service.when_disabled,
            units: service.units,
            regions: service.regions,
            revision: service.revision,
            configuration: service.configuration,
        }
    }
}

impl Row for ServiceView {
    const HEADS: &'static [&'static str] = &["NAME", "TIER", "REGIONS", "UNITS", "PORT", "PRIMARY"];
    const WIDE_HEADS: &'static [&'static str] = &[
        "NAME",
        "TIER",
        "PRIMARY",
        "REGIONS",
        "UNITS",
        "PORT",
        "ROUTING",
        "WHEN DISABLED",
        "REVISION",
        "CONFIG",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.tier.clone(),
            self.regions.len().to_string(),
            self.units.to_string(),
            self.port.to_string(),
            self.primary.clone(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.tier.clone(),
            self.primary.clone(),
            self.regions.join(","),
            self.units.to_string(),
            self.port.to_string(),
            self.routing.clone(),
            self.when_disabled.clone(),
            self.revision.to_string(),
            self.configuration.to_string(),
        ]
    }
}

/// A service with its locations and its APIs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDetailView {
    /// The service; its keys are on the level of `locations`.
    #[serde(flatten)]
    pub service: ServiceView,
    /// Its locations, as in `region list`.
    pub locations: Vec<LocationView>,
    /// Its APIs, as in `api list`.
    pub apis: Vec<ApiView>,
}

/// A region of the catalog.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionView {
    /// Its short name.
    pub region: String,
    /// Its display name.
    pub display_name: String,
    /// Degrees north of the equator.
    pub latitude: f64,
    /// Degrees east of Greenwich.
    pub longitude: f64,
    /// Agents in the region.
    pub agents: u32,
    /// True if an operator defined it.
    pub custom: bool,
}

impl RegionView {
    fn agents_cell(&self) -> String {
        if self.agents == 0 { NONE.to_owned() } else { self.agents.to_string() }
    }

    fn origin(&self) -> String {
        if self.custom { "custom".to_owned() } else { "catalog".to_owned() }
    }
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
    const HEADS: &'static [&'static str] = &["REGION", "AGENTS", "ORIGIN", "NAME"];
    const WIDE_HEADS: &'static [&'static str] =
        &["REGION", "NAME", "LATITUDE", "LONGITUDE", "AGENTS", "ORIGIN"];

    fn cells(&self) -> Vec<String> {
        vec![self.region.clone(), self.agents_cell(), self.origin(), self.display_name.clone()]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            self.display_name.clone(),
            format!("{:.4}", self.latitude),
            format!("{:.4}", self.longitude),
            self.agents_cell(),
            self.origin(),
        ]
    }
}
