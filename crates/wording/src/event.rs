//! Events as sentences whose subject is the actor: `added eastus to contoso with 2 units`.

use meridian_domain::limits::Limits;
use meridian_domain::reachability::Evidence;
use meridian_domain::{AgentDescription, Api, DnsSettings, Event, Preference, ServiceName, Zones};

use super::count;

/// Returns the sentence of an event, without its actor.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one arm for each event, so that none is left out")]
pub fn sentence(event: &Event) -> String {
    match event {
        Event::ClusterBootstrapped { cluster, .. } => format!("bootstrapped cluster {cluster}"),
        Event::DataVersionRaised { version } => format!("raised the data version to {version}"),
        Event::LimitsSet { limits } => limits_set(limits),
        Event::RegionDefined { region } => {
            format!("defined region {} ({})", region.name, region.display_name)
        }
        Event::HistoryTrimmed { through } => format!("deleted the events up to {through}"),
        Event::AgentRegistered { agent } => registered(agent),
        Event::AgentUpdated { agent } => {
            format!("updated the addresses or the version of agent {}", agent.name)
        }
        Event::AgentDrained { agent } => format!("drained agent {agent}"),
        Event::AgentUndrained { agent } => format!("undid the drain of agent {agent}"),
        Event::AgentRemoved { agent, .. } => format!("removed agent {agent}"),
        Event::ServiceCreated { service, tier, primary, port } => {
            format!("created service {service} in {primary}, tier {tier}, port {port}")
        }
        Event::TierChanged { service, tier } => format!("changed the tier of {service} to {tier}"),
        Event::PortChanged { service, port } => format!("changed the port of {service} to {port}"),
        Event::ServiceDeleted { service } => format!("deleted service {service}"),
        Event::RegionAdded { service, region, units, zones } => {
            format!("added {region} to {service} with {}{}", count(*units, "unit"), in_zones(zones))
        }
        Event::UnitsScaled { service, region, units } => {
            format!("scaled {service} in {region} to {}", count(*units, "unit"))
        }
        Event::ZonesChanged { service, region, zones } => {
            format!("changed the zones of {service} in {region} to {}", zone_list(zones))
        }
        Event::RegionRemoved { service, region } => format!("removed {region} from {service}"),
        Event::PrimaryPromoted { service, region } => {
            format!("made {region} the primary region of {service}")
        }
        Event::GatewayEnabled { service, region } => {
            format!("enabled the gateway of {service} in {region}")
        }
        Event::GatewayDisabled { service, region } => {
            format!("disabled the gateway of {service} in {region}")
        }
        Event::UnitAssigned { unit, agent, .. } => format!("assigned unit {unit} to agent {agent}"),
        Event::UnitReleased { unit, .. } => format!("released unit {unit}"),
        Event::UnitReady { unit, .. } => format!("reported unit {unit} ready"),
        Event::UnitFailed { unit, restarts, cause, .. } => {
            format!("reported unit {unit} failed: {cause} (restarts: {restarts})")
        }
        Event::UnitStopped { unit, .. } => format!("reported unit {unit} stopped"),
        Event::ApiPublished { service, api } => published(service, api),
        Event::ApiRemoved { service, api } => format!("removed API {api} from {service}"),
        Event::UnitConfigured { unit, configuration, .. } => {
            format!("reported unit {unit} on configuration {configuration}")
        }
        Event::RollStarted { service, region } => {
            format!("started to roll the units of {service} in {region}")
        }
        Event::ClusterRecovered { epoch } => {
            format!("recovered the cluster on one agent as epoch {epoch}")
        }
        Event::UnitRefused { unit, configuration, cause, .. } => {
            format!("reported that unit {unit} refuses configuration {configuration}: {cause}")
        }
        Event::RoutingChanged { service, routing } => {
            format!("changed the routing of {service} to {routing}")
        }
        Event::WhenDisabledChanged { service, when_disabled } => {
            format!("set disabled gateways of {service} to {when_disabled} requests")
        }
        Event::PreferenceChanged { service, region, preference } => {
            let Preference { priority, weight } = preference;
            format!("set {region} of {service} to priority {priority} and weight {weight}")
        }
        Event::DnsSet { settings } => dns_set(settings),
        Event::NetworkAssigned { network, region } => {
            format!("assigned network {network} to {region}")
        }
        Event::NetworkRemoved { network } => format!("removed network {network}"),
        Event::RoundTripMeasured { one, other, micros } => {
            format!("measured {} ms between {one} and {other}", micros.div_ceil(1_000))
        }
        Event::GatewaysLost { agent, gateways, evidence, .. } => {
            let Evidence { unreachable_from, groups } = evidence;
            let from: Vec<_> = unreachable_from.iter().map(ToString::to_string).collect();
            format!(
                "lost the gateways of {gateways} on agent {agent}: unreachable from {} ({} of \
                 {groups})",
                from.join(", "),
                from.len()
            )
        }
        Event::GatewaysFound { agent, gateways } => {
            format!("found the gateways of {gateways} on agent {agent}")
        }
    }
}

fn dns_set(settings: &DnsSettings) -> String {
    let DnsSettings { zone, ttl_seconds, fallback_regions, name_servers } = settings;
    let zone = zone.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let servers: Vec<_> = name_servers.iter().map(ToString::to_string).collect();
    let servers =
        if servers.is_empty() { "one in each region".to_owned() } else { servers.join(",") };
    format!(
        "set DNS to zone {zone}, TTL {ttl_seconds} s, {fallback_regions} fallback regions, name \
         servers: {servers}"
    )
}

fn limits_set(limits: &Limits) -> String {
    let Limits { developer_units, basic_units, standard_units, premium_units, voters } = limits;
    format!(
        "set the limits to {developer_units}/{basic_units}/{standard_units}/{premium_units} units \
         per region (developer/basic/standard/premium) and {voters} voters"
    )
}

fn registered(agent: &AgentDescription) -> String {
    let witness = if agent.witness { " as a witness" } else { "" };
    format!("registered agent {} in {}{witness}", agent.name, agent.region)
}

fn published(service: &ServiceName, api: &Api) -> String {
    format!("published API {} of {service}: {} -> {}", api.name, api.path, api.backend)
}

fn in_zones(zones: &Zones) -> String {
    if zones.is_empty() { String::new() } else { format!(" in zones {}", zone_list(zones)) }
}

/// Returns the zones separated by commas, or `none`.
#[must_use]
pub fn zone_list(zones: &Zones) -> String {
    if zones.is_empty() {
        return "none".to_owned();
    }
    zones.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
