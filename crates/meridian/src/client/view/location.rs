//! Locations: the regions of a service.

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{Row, cell, cells_of, yes_no};

use super::{ObserverView, SilenceView, served, since, text};

/// A location.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocationView {
    /// Short name of the region.
    pub region: String,
    /// Display name of the region.
    pub display_name: String,
    /// True for the primary region of the service.
    pub primary: bool,
    /// Units declared.
    pub units: u32,
    /// Units ready. Units of an unreachable agent do not count.
    pub ready_units: u32,
    /// Units whose state is unknown, because their agent is unreachable.
    pub unknown_units: u32,
    /// Zones of the units; empty for no zones.
    pub zones: Vec<u32>,
    /// True if the gateway is enabled.
    pub gateway_enabled: bool,
    /// Priority, for the routing policy `priority`: the lowest first.
    pub priority: u32,
    /// Weight, for the routing policy `weighted`.
    pub weight: u32,
    /// The first status that applies.
    pub status: StatusWord,
    /// Time since which no client can reach it; null unless it is offline.
    pub offline_since: Option<String>,
    /// URL of the gateway; null if no agent in the region takes units, and while it is offline.
    pub gateway_url: Option<String>,
    /// The oldest configuration that a ready unit serves; null if none is ready.
    pub configuration: Option<u64>,
    /// True if enough units are ready, none is due to be replaced, and all serve the service's current
    /// configuration; also set for a disabled gateway.
    pub converged: bool,
    /// Obstacle that keeps the location from converging on its own; null if none is known.
    pub blocked_reason: Option<String>,
    /// Agents of the location that are unreachable.
    pub unreachable_agents: Vec<UnreachableAgentView>,
    /// The observer that decides which agents are reachable.
    pub observer: Option<ObserverView>,
}

/// Unreachable agent of a location.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreachableAgentView {
    /// Its name.
    pub agent: String,
    /// Time since it was last heard from.
    pub silence: Option<SilenceView>,
}

/// Status of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StatusWord {
    /// Enough units are ready, and all serve the service's current configuration.
    Ready,
    /// A unit is not ready yet, is being replaced, or serves an older configuration.
    Converging,
    /// No agent in the region takes units.
    NoAgent,
    /// Clients can reach none of its units, as agreed by a majority of the other regions.
    Offline,
    /// Its agents are unreachable, and its gateways serve clients.
    Unmanaged,
    /// Its agents are unreachable, and no unit is known to serve.
    AgentUnreachable,
    /// Some units serve, and others do not or are not known to.
    Degraded,
    /// The gateway is disabled, and serves on until its clients have moved.
    DrainingClients,
    /// The gateway is disabled.
    Disabled,
    /// The location was removed; its units drain.
    Removing,
    /// A status of a newer agent that this client does not know.
    Unknown,
}

impl StatusWord {
    /// Returns the words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Converging => "converging",
            Self::NoAgent => "no agent",
            Self::Offline => "offline",
            Self::Unmanaged => "unmanaged",
            Self::Degraded => "degraded",
            Self::AgentUnreachable => "agent unreachable",
            Self::DrainingClients => "draining clients",
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
            v1::LocationStatus::Offline => Self::Offline,
            v1::LocationStatus::Unmanaged => Self::Unmanaged,
            v1::LocationStatus::Degraded => Self::Degraded,
            v1::LocationStatus::AgentUnreachable => Self::AgentUnreachable,
            v1::LocationStatus::DrainingClients => Self::DrainingClients,
            v1::LocationStatus::Disabled => Self::Disabled,
            v1::LocationStatus::Removing => Self::Removing,
        }
    }
}

impl LocationView {
    /// Converts a response.
    pub fn list(response: v1::ListLocationsResponse) -> Vec<Self> {
        let observer = response.observer.map(ObserverView::from);
        let locations = response.locations.into_iter();
        let convert = |location| Self { observer: observer.clone(), ..Self::from(location) };
        locations.map(convert).collect()
    }

    /// The status and the time since it applies: `suffix` formats the silence of the agents, `time` the
    /// time of a loss.
    fn status_cell(&self, suffix: fn(SilenceView) -> String, time: fn(&str) -> &str) -> String {
        let status = self.status.as_str();
        let silence = self.unreachable_agents.iter().find_map(|agent| agent.silence);
        match (self.status, &self.offline_since) {
            (StatusWord::Offline, Some(since)) => format!("{status} since {}", time(since)),
            (StatusWord::AgentUnreachable | StatusWord::Unmanaged, _) => {
                format!("{status}{}", silence.map(suffix).unwrap_or_default())
            }
            _ => status.to_owned(),
        }
    }
}

/// Returns the time of day of a time as RFC 3339.
fn time_of_day(rfc3339: &str) -> &str {
    rfc3339.get(11..19).unwrap_or(rfc3339)
}

impl From<v1::Location> for LocationView {
    fn from(location: v1::Location) -> Self {
        let unreachable = |agent: v1::UnreachableAgent| UnreachableAgentView {
            agent: agent.agent,
            silence: agent.silence.map(SilenceView::from),
        };
        Self {
            status: location.status().into(),
            offline_since: since(location.offline_since),
            region: location.region,
            display_name: location.display_name,
            primary: location.primary,
            units: location.units,
            ready_units: location.ready_units,
            unknown_units: location.unknown_units,
            zones: location.zones,
            gateway_enabled: location.gateway_enabled,
            priority: location.priority,
            weight: location.weight,
            gateway_url: text(location.gateway_url),
            configuration: served(location.configuration),
            converged: location.converged,
            blocked_reason: text(location.blocked_reason),
            unreachable_agents: location.unreachable_agents.into_iter().map(unreachable).collect(),
            observer: None,
        }
    }
}

impl Row for LocationView {
    const HEADS: &'static [&'static str] = &["REGION", "PRIMARY", "READY", "STATUS", "URL"];
    const WIDE_HEADS: &'static [&'static str] = &[
        "REGION", "NAME", "PRIMARY", "READY", "UNKNOWN", "UNITS", "ZONES", "GATEWAY", "PRIORITY",
        "WEIGHT", "STATUS", "CONFIG", "URL", "BLOCKED",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            yes_no(self.primary),
            format!("{}/{}", self.ready_units, self.units),
            self.status_cell(SilenceView::suffix, time_of_day),
            cell(self.gateway_url.as_ref()),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            self.display_name.clone(),
            yes_no(self.primary),
            self.ready_units.to_string(),
            self.unknown_units.to_string(),
            self.units.to_string(),
            cells_of(&self.zones),
            if self.gateway_enabled { "enabled".to_owned() } else { "disabled".to_owned() },
            self.priority.to_string(),
            self.weight.to_string(),
            self.status_cell(SilenceView::exact_suffix, |exact| exact),
            cell(self.configuration.as_ref()),
            cell(self.gateway_url.as_ref()),
            cell(self.blocked_reason.as_ref()),
        ]
    }
}
