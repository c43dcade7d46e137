//! The effect of a dry run, compared with the current state: `~ eastus: units 1 -> 3`.

use std::fmt::Display;

use meridian_domain::Event;
use meridian_domain::event::Subject;
use meridian_domain::limits::Limits;
use meridian_proto::v1;
use meridian_wording::count;
use meridian_wording::event::{sentence, zone_list};

use super::lookup;
use super::session::Session;
use super::view::{ApiView, EventView, LocationView, ServiceView};

/// Current state that the events replace. Parts that cannot be read are empty.
#[derive(Debug, Default)]
struct Before {
    service: Option<ServiceView>,
    locations: Vec<LocationView>,
    apis: Vec<ApiView>,
    limits: Option<v1::Limits>,
}

/// One line per event: `+` adds something, `-` removes it, `~` changes it, `*` is anything else.
pub async fn lines(session: &Session, events: &[EventView]) -> String {
    let before = Before::read(session, events).await;
    let line = |view: &EventView| match &view.event {
        Some(event) => before.line(event),
        None => format!("* {}", view.sentence()),
    };
    events.iter().map(|event| line(event) + "\n").collect()
}

/// The service of the change, if it is about one.
fn service_of(events: &[EventView]) -> Option<String> {
    events.iter().find_map(|event| match event.event.as_ref()?.subject() {
        Subject::Service(service) | Subject::Units(service) => Some(service.to_string()),
        Subject::Cluster | Subject::Agent(_) | Subject::Unit(_) => None,
    })
}

impl Before {
    async fn read(session: &Session, events: &[EventView]) -> Self {
        let Some(name) = service_of(events) else {
            return Self { limits: lookup::limits(session).await.ok(), ..Self::default() };
        };
        let services = lookup::services(session).await.unwrap_or_default();
        let Some(service) = services.into_iter().find(|service| service.name == name) else {
            return Self::default();
        };
        Self {
            service: Some(service),
            locations: lookup::locations(session, &name).await.unwrap_or_default(),
            apis: lookup::apis(session, &name).await.unwrap_or_default(),
            limits: None,
        }
    }

    /// The line of an event. Matches every variant, so that a new one must be described here.
    #[expect(clippy::too_many_lines, reason = "one arm for each event, so that none is left out")]
    fn line(&self, event: &Event) -> String {
        let service = self.service.as_ref();
        match event {
            Event::ServiceCreated { service, tier, primary, port } => {
                format!("+ service {service}: {primary}, tier {tier}, port {port}")
            }
            Event::TierChanged { tier, .. } => {
                changed("service", "tier", service.map(|before| &before.tier), tier)
            }
            Event::PortChanged { port, .. } => {
                changed("service", "port", service.map(|before| before.port), port)
            }
            Event::PrimaryPromoted { region, .. } => {
                changed("service", "primary region", service.map(|before| &before.primary), region)
            }
            Event::ServiceDeleted { service } => format!("- service {service}"),
            Event::RegionAdded { region, units, zones, .. } if zones.is_empty() => {
                format!("+ {region}: {}", count(*units, "unit"))
            }
            Event::RegionAdded { region, units, zones, .. } => {
                format!("+ {region}: {} in zones {}", count(*units, "unit"), zone_list(zones))
            }
            Event::UnitsScaled { region, units, .. } => {
                let before = self.location(region.as_str()).map(|before| before.units);
                changed(region, "units", before, units)
            }
            Event::ZonesChanged { region, zones, .. } => {
                let before = self.location(region.as_str()).map(zones_of);
                changed(region, "zones", before, zone_list(zones))
            }
            Event::RegionRemoved { region, .. } => format!("- {region}"),
            Event::GatewayEnabled { region, .. } => {
                changed(region, "gateway", Some("disabled"), "enabled")
            }
            Event::GatewayDisabled { region, .. } => {
                changed(region, "gateway", Some("enabled"), "disabled")
            }
            Event::ApiPublished { api, .. } => {
                let is_known = self.apis.iter().any(|before| before.name == api.name.as_str());
                let sign = if is_known { '~' } else { '+' };
                format!("{sign} API {}: {} -> {}", api.name, api.path, api.backend)
            }
            Event::ApiRemoved { api, .. } => format!("- API {api}"),
            Event::UnitAssigned { unit, agent, .. } => format!("+ unit {unit} on agent {agent}"),
            Event::UnitReleased { unit, .. } => format!("- unit {unit}"),
            Event::LimitsSet { limits } => self.changed_limits(limits),
            Event::AgentRemoved { agent, .. } => format!("- agent {agent}"),
            Event::HistoryTrimmed { through } => format!("- events up to {through}"),
            Event::RollStarted { region, .. } => format!("~ {region}: all units are replaced"),
            Event::RoutingChanged { routing, .. } => {
                changed("service", "routing", service.map(|before| &before.routing), routing)
            }
            Event::WhenDisabledChanged { when_disabled, .. } => {
                let before = service.map(|before| &before.when_disabled);
                changed("service", "when disabled", before, when_disabled)
            }
            Event::PreferenceChanged { region, preference, .. } => {
                let before = self.location(region.as_str());
                let text = |priority: u32, weight: u32| format!("{priority} weight {weight}");
                let before = before.map(|before| text(before.priority, before.weight));
                let after = text(preference.priority.into(), preference.weight.into());
                changed(region, "priority", before, after)
            }
            Event::NetworkAssigned { network, region } => format!("~ network {network}: {region}"),
            Event::NetworkRemoved { network } => format!("- network {network}"),
            Event::DnsSet { .. }
            | Event::RoundTripMeasured { .. }
            | Event::GatewaysLost { .. }
            | Event::GatewaysFound { .. }
            | Event::ClusterBootstrapped { .. }
            | Event::DataVersionRaised { .. }
            | Event::RegionDefined { .. }
            | Event::AgentRegistered { .. }
            | Event::AgentUpdated { .. }
            | Event::AgentDrained { .. }
            | Event::AgentUndrained { .. }
            | Event::UnitReady { .. }
            | Event::UnitFailed { .. }
            | Event::UnitStopped { .. }
            | Event::UnitConfigured { .. }
            | Event::ClusterRecovered { .. }
            | Event::UnitRefused { .. } => format!("* {}", sentence(event)),
        }
    }

    fn location(&self, region: &str) -> Option<&LocationView> {
        self.locations.iter().find(|location| location.region == region)
    }

    /// One line per limit that changes.
    fn changed_limits(&self, limits: &Limits) -> String {
        let after = v1::Limits::from(limits);
        let before = self.limits.as_ref();
        let line = |name: &str, of: fn(&v1::Limits) -> u32| {
            let (before, after) = (before.map(of), of(&after));
            (before != Some(after)).then(|| changed("limits", name, before, after))
        };
        let lines = [
            line("developer units", |limits| limits.developer_units),
            line("basic units", |limits| limits.basic_units),
            line("standard units", |limits| limits.standard_units),
            line("premium units", |limits| limits.premium_units),
            line("voters", |limits| limits.voters),
        ];
        lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

fn zones_of(location: &LocationView) -> String {
    match location.zones.is_empty() {
        true => "none".to_owned(),
        false => location.zones.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    }
}

/// `~ eastus: units 1 -> 3`; without the first number if it is unknown.
fn changed(
    subject: impl Display,
    what: &str,
    before: Option<impl Display>,
    after: impl Display,
) -> String {
    match before {
        Some(before) => format!("~ {subject}: {what} {before} -> {after}"),
        None => format!("~ {subject}: {what} {after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::view::samples;

    #[test]
    fn every_event_has_a_line_that_compares_it_with_the_state() {
        let location = v1::Location {
            region: "eastus".to_owned(),
            units: 3,
            zones: vec![1, 2],
            ..Default::default()
        };
        let service = v1::Service {
            tier: "premium".to_owned(),
            primary: "westeurope".to_owned(),
            port: 8080,
            when_disabled: "refuse".to_owned(),
            ..Default::default()
        };
        let before = Before {
            service: Some(service.into()),
            locations: vec![location.into()],
            apis: Vec::new(),
            limits: Some(v1::Limits { premium_units: 20, ..v1::Limits::from(&Limits::default()) }),
        };
        let lines: Vec<String> = samples::events().iter().map(|event| before.line(event)).collect();
        for line in [
            "~ limits: premium units 20 -> 12",
            "+ service contoso: eastus, tier premium, port 8080",
            "~ service: tier premium -> basic",
            "~ service: port 8080 -> 8081",
            "+ eastus: 2 units in zones 1,2",
            "~ eastus: units 3 -> 1",
            "~ eastus: zones 1,2 -> none",
            "- eastus",
            "~ service: primary region westeurope -> eastus",
            "~ service: when disabled refuse -> redirect",
            "~ eastus: gateway enabled -> disabled",
            "+ API orders: /orders -> http://orders",
            "- API orders",
            "+ unit contoso/eastus/1 on agent eastus-1",
        ] {
            assert!(lines.iter().any(|given| given == line), "{line}: {lines:#?}");
        }
    }
}
