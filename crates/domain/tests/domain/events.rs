//! Properties that the table of events declares, compared with what `evolve` does. Every event type
//! needs a sample in [`samples`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use meridian_domain::event::{Row, Subject};
use meridian_domain::evolve::evolve;
use meridian_domain::limits::Limits;
use meridian_domain::reachability::{Evidence, Gateways};
use meridian_domain::*;

use crate::world::*;

/// Returns a valid sequence of events with every event type.
fn samples() -> Vec<Event> {
    let (contoso, east, west) = (service("contoso"), region("eastus"), region("westeurope"));
    let (first, second) = (agent_name("first"), agent_name("second"));
    let unit = UnitId { service: contoso.clone(), region: west.clone(), slot: 1 };
    let orders = api("orders", "/orders", "http://orders.internal");
    let located = || (contoso.clone(), west.clone());
    let mut events = cluster_samples();
    events.extend([
        Event::AgentRegistered { agent: agent("first", 1, "westeurope") },
        Event::AgentRegistered { agent: agent("second", 2, "westeurope") },
        Event::GatewaysLost {
            agent: first.clone(),
            gateways: Gateways::All,
            evidence: Evidence { unreachable_from: BTreeSet::new(), groups: 2 },
            relapses: 0,
        },
        Event::GatewaysFound { agent: first.clone(), gateways: Gateways::All },
        Event::AgentUpdated { agent: agent("first", 3, "westeurope") },
        Event::AgentDrained { agent: first.clone() },
        Event::AgentUndrained { agent: first.clone() },
        Event::ServiceCreated {
            service: contoso.clone(),
            tier: Tier::Basic,
            primary: west.clone(),
            port: 8080,
        },
        Event::RegionAdded {
            service: contoso.clone(),
            region: west.clone(),
            units: 1,
            zones: Zones::new(),
        },
        Event::RegionAdded {
            service: contoso.clone(),
            region: east.clone(),
            units: 1,
            zones: Zones::new(),
        },
        Event::TierChanged { service: contoso.clone(), tier: Tier::Premium },
        Event::PortChanged { service: contoso.clone(), port: 9000 },
        Event::ApiPublished { service: contoso.clone(), api: orders.clone() },
        Event::RoutingChanged { service: contoso.clone(), routing: RoutingPolicy::Priority },
        Event::WhenDisabledChanged {
            service: contoso.clone(),
            when_disabled: WhenDisabled::Redirect,
        },
    ]);
    let (service, region) = located();
    events.push(Event::UnitsScaled { service, region, units: 2 });
    let (service, region) = located();
    events.push(Event::ZonesChanged { service, region, zones: zones(&[1, 2]) });
    let (service, region) = located();
    events.push(Event::GatewayDisabled { service, region });
    let (service, region) = located();
    events.push(Event::GatewayEnabled { service, region });
    let (service, region) = located();
    events.push(Event::RollStarted { service, region });
    let (service, region) = located();
    let preference = Preference { priority: 2, weight: 3 };
    events.push(Event::PreferenceChanged { service, region, preference });
    events.push(Event::PrimaryPromoted { service: contoso.clone(), region: east });
    events.extend(unit_samples(&unit, &first, events.len() as u64 + 1));
    events.extend(unit_samples(&unit, &second, events.len() as u64 + 1).into_iter().take(2));
    let (service, region) = located();
    events.push(Event::RegionRemoved { service, region });
    events.push(Event::AgentRemoved { agent: second, node: NodeId(2) });
    events.push(Event::ApiRemoved { service: contoso.clone(), api: orders.name.clone() });
    events.push(Event::ApiPublished { service: contoso.clone(), api: orders });
    events.push(Event::ServiceDeleted { service: contoso });
    events
}

/// Returns the events about the cluster as a whole.
fn cluster_samples() -> Vec<Event> {
    let network = || "10.1.0.0/16".parse().expect("a network");
    let lab = Region {
        name: region("lab"),
        display_name: "Lab".to_owned(),
        latitude_microdegrees: 1,
        longitude_microdegrees: 2,
    };
    vec![
        Event::ClusterBootstrapped { cluster: cluster(1), data_version: DataVersion(1) },
        Event::DataVersionRaised { version: DataVersion(2) },
        Event::LimitsSet { limits: Limits { voters: 3, ..Limits::default() } },
        Event::RegionDefined { region: lab },
        Event::HistoryTrimmed { through: Revision(1) },
        Event::ClusterRecovered { epoch: Epoch(1) },
        Event::DnsSet { settings: DnsSettings { ttl_seconds: 7, ..DnsSettings::default() } },
        Event::NetworkAssigned { network: network(), region: region("lab") },
        Event::NetworkRemoved { network: network() },
        Event::RoundTripMeasured { one: region("eastus"), other: region("lab"), micros: 81_000 },
    ]
}

/// Returns the events of one assignment of a unit, the first of them with `revision`.
fn unit_samples(unit: &UnitId, agent: &AgentName, revision: u64) -> Vec<Event> {
    let (unit, incarnation) = (|| unit.clone(), Incarnation(revision));
    let (restarts, next_try) = (1, Timestamp(1));
    vec![
        Event::UnitAssigned { unit: unit(), incarnation, agent: agent.clone() },
        Event::UnitReady { unit: unit(), incarnation, pid: None, configuration: Revision(1) },
        Event::UnitConfigured { unit: unit(), incarnation, configuration: Revision(2) },
        Event::UnitRefused {
            unit: unit(),
            incarnation,
            configuration: Revision(3),
            cause: "host not found".to_owned(),
        },
        Event::UnitFailed {
            unit: unit(),
            incarnation,
            restarts,
            next_try,
            cause: "exit status 1".to_owned(),
        },
        Event::UnitReleased { unit: unit(), incarnation },
        Event::UnitStopped { unit: unit(), incarnation },
    ]
}

/// Calls `check` with each sample and the states before and after it.
fn for_each_sample(check: impl Fn(&Event, &State, &State)) {
    let mut state = State::default();
    for event in samples() {
        let before = state.clone();
        let revision = state.header.revision.next();
        evolve(&mut state, revision, &event);
        check(&event, &before, &state);
    }
}

/// Returns the keys whose values differ between two maps.
fn changed<K: Ord + Debug, V: PartialEq>(
    kind: &str,
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> BTreeSet<String> {
    let keys = before.keys().chain(after.keys());
    let changed = keys.filter(|key| before.get(key) != after.get(key));
    changed.map(|key| format!("{kind} {key:?}")).collect()
}

fn changed_rows(before: &State, after: &State) -> BTreeSet<String> {
    let mut rows = changed("region", &before.regions, &after.regions);
    rows.append(&mut changed("network", &before.networks, &after.networks));
    rows.append(&mut changed("round trip", &before.round_trips, &after.round_trips));
    rows.append(&mut changed("agent", &before.agents, &after.agents));
    rows.append(&mut changed("losses", &before.losses, &after.losses));
    rows.append(&mut changed("service", &before.services, &after.services));
    rows.append(&mut changed("api", &before.apis, &after.apis));
    rows.append(&mut changed("unit", &before.units, &after.units));
    rows
}

fn declared_rows(event: &Event, before: &State) -> BTreeSet<String> {
    let rows = event.rows().into_iter().flat_map(|row| match row {
        Row::Region(name) => vec![format!("region {name:?}")],
        Row::Network(network) => vec![format!("network {network:?}")],
        Row::RoundTrip(one, other) => vec![format!("round trip {:?}", (one, other))],
        Row::Losses(name) => vec![format!("losses {name:?}")],
        Row::Agent(name) => vec![format!("agent {name:?}")],
        Row::Service(name) => vec![format!("service {name:?}")],
        Row::Api(service, api) => vec![format!("api {:?}", (service, api))],
        Row::Unit(unit, incarnation) => vec![format!("unit {:?}", (unit, incarnation))],
        Row::UnitsOf(agent) => before.units_on(agent).map(unit_row).collect(),
        Row::UnitsOfService(service) => before.units_of_service(service).map(unit_row).collect(),
        Row::LossesOf(service) => {
            let of_service = Gateways::Of(service.clone());
            let lost = before.losses.iter().filter(|(_, losses)| losses.contains_key(&of_service));
            lost.map(|(agent, _)| format!("losses {agent:?}")).collect()
        }
        Row::UnitsIn(service, region) => before.units_of(service, region).map(unit_row).collect(),
        Row::ApisOf(service) => {
            before.apis_of(service).map(|api| format!("api {:?}", (service, &api.name))).collect()
        }
    });
    rows.collect()
}

fn unit_row(unit: &Unit) -> String {
    format!("unit {:?}", (&unit.id, unit.incarnation))
}

#[test]
fn every_event_type_has_a_sample() {
    let sampled: BTreeSet<EventType> = samples().iter().map(Event::event_type).collect();
    let all: BTreeSet<EventType> = EventType::ALL.iter().copied().collect();
    let missing: Vec<_> = all.difference(&sampled).collect();
    assert!(missing.is_empty(), "add samples of {missing:?}");
}

#[test]
fn an_event_changes_the_rows_that_it_declares() {
    for_each_sample(|event, before, after| {
        let (changed, declared) = (changed_rows(before, after), declared_rows(event, before));
        assert!(changed.is_subset(&declared), "{event:?} changes {changed:?}, not {declared:?}");
    });
}

#[test]
fn an_event_advances_the_revision_of_the_service_that_is_its_subject() {
    for_each_sample(|event, before, after| {
        for (name, service) in &after.services {
            let advanced =
                before.services.get(name).map(|old| old.revision) != Some(service.revision);
            assert_eq!(advanced, event.subject() == Subject::Service(name), "{event:?}");
        }
    });
}

#[test]
fn an_event_that_changes_what_gateways_serve_declares_it() {
    for_each_sample(|event, before, after| {
        for (name, service) in &after.services {
            let Some(old) = before.services.get(name) else { continue };
            assert_eq!(service.configuration != old.configuration, event.configures(), "{event:?}");
            for region in service.locations.keys().filter(|at| old.locations.contains_key(*at)) {
                // The target of redirects changes with what the routing depends on.
                let served = |state| Configuration {
                    revision: Revision(0),
                    redirect: None,
                    ..Configuration::of(state, name, region)
                };
                assert!(event.configures() || served(before) == served(after), "{event:?}");
            }
        }
    });
}

#[test]
fn event_types_parse_from_their_names() {
    for known in EventType::ALL {
        assert_eq!(known.as_str().parse(), Ok(*known));
    }
    assert_eq!(
        "RegionFlooded".parse::<EventType>().expect_err("unknown type").to_string(),
        r#"unknown event type "RegionFlooded""#
    );
}
