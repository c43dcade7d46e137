//! Routes of clients, and what they depend on.

use meridian_proto::v1;
use meridian_wording::count;
use serde::Serialize;

use crate::client::output::{NONE, Row, cell};

use super::{millis, since, text};

/// The order of the regions of a service for a client.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// The service.
    pub service: String,
    /// `nearest`, `priority` or `weighted`.
    pub routing: String,
    /// The region closest to the client.
    pub client_region: String,
    /// Source of that region, as in the contract.
    pub client_region_source: String,
    /// Network by which `weighted` chooses the region; null without an address.
    pub client_network: Option<String>,
    /// All regions of the service, the first one first.
    pub regions: Vec<RouteRegionView>,
    /// True if no region serves: clients are sent to those that are enabled.
    pub last_resort: bool,
}

/// A region of a service, for one client.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRegionView {
    /// The region.
    pub region: String,
    /// Round trip between the client's region and this one, in milliseconds.
    pub round_trip_ms: Option<u64>,
    /// Source of the round trip, as in the contract.
    pub round_trip_source: String,
    /// Priority.
    pub priority: u32,
    /// Weight.
    pub weight: u32,
    /// Availability, as in the contract.
    pub availability: String,
    /// Units that are ready and not lost.
    pub ready_units: u32,
    /// Time of the loss; null unless it is lost.
    pub lost_since: Option<String>,
    /// Rank among the regions that clients are sent to, from 1; null for the others.
    pub rank: Option<u32>,
}

impl From<v1::GetRouteResponse> for RouteView {
    fn from(route: v1::GetRouteResponse) -> Self {
        let mut last = 0;
        let regions = route.regions.into_iter().map(|region| {
            last += u32::from(region.routed);
            RouteRegionView::new(last, region)
        });
        Self {
            service: route.service,
            routing: route.routing,
            client_region: route.client_region,
            client_region_source: route.client_region_source,
            client_network: text(route.client_network),
            regions: regions.collect(),
            last_resort: route.last_resort,
        }
    }
}

impl RouteView {
    /// Two lines about the client and the policy.
    pub fn headline(&self) -> String {
        let source = match self.client_region_source.as_str() {
            "COORDINATES" => " (closest to the coordinates)",
            "NETWORK" => " (assigned to its network)",
            "DATABASE" => " (by the location database)",
            "AGENT" => " (that of the contacted agent)",
            _ => "",
        };
        let network = self.client_network.as_ref().filter(|_| self.routing == "weighted");
        let network = network.map(|it| format!(", by network {it}")).unwrap_or_default();
        let last_resort = if self.last_resort { "; no region serves: last resort" } else { "" };
        let Self { client_region, routing, .. } = self;
        format!(
            "client region: {client_region}{source}\nrouting: {routing}{network}{last_resort}\n"
        )
    }
}

impl RouteRegionView {
    fn new(rank: u32, region: v1::RouteRegion) -> Self {
        Self {
            region: region.region,
            round_trip_ms: millis(region.round_trip),
            round_trip_source: region.round_trip_source,
            priority: region.priority,
            weight: region.weight,
            availability: region.availability,
            ready_units: region.ready_units,
            lost_since: since(region.lost_since),
            rank: region.routed.then_some(rank),
        }
    }

    fn round_trip_cell(&self) -> String {
        let source = match self.round_trip_source.as_str() {
            "SAME_REGION" => return "same region".to_owned(),
            "DISTANCE" => "estimated".to_owned(),
            other => other.to_lowercase(),
        };
        format!("{} ms, {source}", self.round_trip_ms.unwrap_or_default())
    }

    fn availability_cell(&self) -> String {
        match (self.availability.as_str(), &self.lost_since) {
            ("SERVING", _) => {
                format!("yes, {} ready", count(self.ready_units, "unit"))
            }
            ("LOST", Some(since)) => format!("no: lost since {since}"),
            (other, _) => format!("no: {}", other.to_lowercase().replace('_', " ")),
        }
    }
}

impl Row for RouteRegionView {
    const HEADS: &'static [&'static str] = &["RANK", "REGION", "ROUND TRIP", "SERVES"];
    const WIDE_HEADS: &'static [&'static str] =
        &["RANK", "REGION", "ROUND TRIP", "PRIORITY", "WEIGHT", "SERVES"];

    fn cells(&self) -> Vec<String> {
        let rank = cell(self.rank.as_ref());
        vec![rank, self.region.clone(), self.round_trip_cell(), self.availability_cell()]
    }

    fn wide_cells(&self) -> Vec<String> {
        let mut cells = self.cells();
        cells.splice(3..3, [self.priority.to_string(), self.weight.to_string()]);
        cells
    }
}

/// The effect of losing regions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastView {
    /// The service.
    pub service: String,
    /// Clients that move.
    pub moves: Vec<MoveView>,
    /// Ready units in the regions that remain.
    pub remaining_units: u32,
    /// Load of all units in thousandths of one unit's capacity; null if it is not known.
    pub load_permille: Option<u64>,
    /// Voters of the cluster.
    pub voters: u32,
    /// Voters that remain.
    pub remaining_voters: u32,
}

/// Clients that move to another region.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveView {
    /// Their region now.
    pub from: String,
    /// Their next region; null if no region remains that serves.
    pub to: Option<String>,
    /// Regions closest to these clients.
    pub client_regions: Vec<String>,
    /// Minimum additional round trip in milliseconds.
    pub min_added_ms: Option<u64>,
    /// Maximum additional round trip in milliseconds.
    pub max_added_ms: Option<u64>,
}

impl From<v1::ForecastLossResponse> for ForecastView {
    fn from(forecast: v1::ForecastLossResponse) -> Self {
        let moves = forecast.moves.into_iter().map(|it| MoveView {
            from: it.from,
            to: text(it.to),
            client_regions: it.client_regions,
            min_added_ms: millis(it.min_added),
            max_added_ms: millis(it.max_added),
        });
        Self {
            service: forecast.service,
            moves: moves.collect(),
            remaining_units: forecast.remaining_units,
            load_permille: forecast.load_permille,
            voters: forecast.voters,
            remaining_voters: forecast.remaining_voters,
        }
    }
}

impl ForecastView {
    /// Sentences about the remaining capacity and the quorum.
    pub fn conclusion(&self) -> String {
        let left = format!("{} left", count(self.remaining_units, "unit"));
        let capacity = match self.load_permille {
            _ if self.remaining_units == 0 => "none left; all requests fail".to_owned(),
            None => format!("{left}; the current load is not known"),
            Some(load) => {
                let percent = load.div_ceil(u64::from(self.remaining_units) * 10);
                let verdict = if percent > 100 { "does not suffice" } else { "suffices" };
                format!("{verdict}; {left}, {percent}% utilized at the current load")
            }
        };
        let (voters, remaining) = (self.voters, self.remaining_voters);
        let quorum = match remaining > voters / 2 {
            true => "changes remain possible",
            false => "no quorum; no change is possible",
        };
        format!("capacity: {capacity}\nquorum: {quorum}; {remaining} of {voters} voters left\n")
    }
}

impl Row for MoveView {
    const HEADS: &'static [&'static str] = &["FROM", "TO", "ADDED", "CLIENTS NEAR"];
    const WIDE_HEADS: &'static [&'static str] = Self::HEADS;

    fn cells(&self) -> Vec<String> {
        let added = match (self.min_added_ms, self.max_added_ms) {
            (Some(min), Some(max)) if min == max => format!("{min} ms"),
            (Some(min), Some(max)) => format!("{min} to {max} ms"),
            _ => NONE.to_owned(),
        };
        let to = self.to.clone().unwrap_or_else(|| "nowhere".to_owned());
        vec![self.from.clone(), to, added, self.client_regions.join(", ")]
    }

    fn wide_cells(&self) -> Vec<String> {
        self.cells()
    }
}

/// Settings of the name servers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsView {
    /// Zone; null for none.
    pub zone: Option<String>,
    /// Time to live of responses in seconds.
    pub ttl_seconds: u32,
    /// Further regions in a response.
    pub fallback_regions: u32,
    /// Agents that are listed as name servers.
    pub name_servers: Vec<NameServerView>,
}

/// A name server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameServerView {
    /// Its agent.
    pub agent: String,
    /// Region of the agent.
    pub region: String,
    /// Host of its gateways and of its name server.
    pub host: String,
}

impl From<v1::GetDnsResponse> for DnsView {
    fn from(response: v1::GetDnsResponse) -> Self {
        let settings = response.settings.unwrap_or_default();
        let view = |it: v1::NameServer| NameServerView {
            agent: it.agent,
            region: it.region,
            host: it.host,
        };
        Self {
            zone: text(settings.zone),
            ttl_seconds: settings.ttl_seconds,
            fallback_regions: settings.fallback_regions,
            name_servers: response.name_servers.into_iter().map(view).collect(),
        }
    }
}

impl Row for DnsView {
    const HEADS: &'static [&'static str] = &["ZONE", "TTL", "FALLBACK REGIONS", "NAME SERVERS"];
    const WIDE_HEADS: &'static [&'static str] = Self::HEADS;

    fn cells(&self) -> Vec<String> {
        let servers: Vec<_> = self.name_servers.iter().map(|it| it.agent.as_str()).collect();
        vec![
            cell(self.zone.as_ref()),
            format!("{} s", self.ttl_seconds),
            self.fallback_regions.to_string(),
            servers.join(","),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        self.cells()
    }
}

/// A network of clients.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkView {
    /// The network.
    pub network: String,
    /// The region closest to its clients.
    pub region: String,
}

impl From<v1::Network> for NetworkView {
    fn from(network: v1::Network) -> Self {
        Self { network: network.network, region: network.region }
    }
}

impl Row for NetworkView {
    const HEADS: &'static [&'static str] = &["NETWORK", "REGION"];
    const WIDE_HEADS: &'static [&'static str] = Self::HEADS;

    fn cells(&self) -> Vec<String> {
        vec![self.network.clone(), self.region.clone()]
    }

    fn wide_cells(&self) -> Vec<String> {
        self.cells()
    }
}
