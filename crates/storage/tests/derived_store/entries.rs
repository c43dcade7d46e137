//! Generated entries that apply to the state they are generated for.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::api::Timeouts;
use meridian_domain::limits::Limits;
use meridian_domain::reachability::{Evidence, Gateways};
use meridian_domain::{
    Actor, AgentDescription, AgentName, Api, ApiName, ApiPath, BackendUrl, Change, ClusterId,
    DataVersion, Digest, DnsSettings, Entry, Epoch, Event, EventType, Incarnation, Network, NodeId,
    Origin, Preference, Region, RegionName, Rejection, RequestId, Revision, RoutingPolicy,
    ServiceName, State, Tier, Timestamp, Unit, UnitId, UnitPhase, Verdict, WhenDisabled, Zones,
    catalog, evolve,
};
use proptest::prelude::*;
use uuid::Uuid;

/// Seed of one change: a kind and two choices.
pub type Seed = (u8, u8, u8);

/// Strategy for the seeds of entries with a few changes each.
pub fn seeds() -> impl Strategy<Value = Vec<Vec<Seed>>> {
    prop::collection::vec(prop::collection::vec(any::<Seed>(), 1..5), 1..40)
}

pub fn request(number: u128) -> RequestId {
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    Uuid::from_u128(number << 80 | version_and_variant).try_into().unwrap()
}

/// Returns an entry with one change of an operator.
pub fn operator_entry(base: Revision, number: u128, events: Vec<Event>) -> Entry {
    let origin = Origin::Operator {
        request: request(number),
        digest: Digest([7; 32]),
        actor: Actor::new("ada@example").unwrap(),
        reason: None,
    };
    let change = Change { origin, events, verdict: Verdict::Accepted };
    let time = Timestamp(u64::try_from(number).unwrap());
    Entry { base, time, changes: vec![change] }
}

/// Returns the entry generated from the seeds for `state`, and applies it to `state`.
pub fn entry(state: &mut State, number: u128, seeds: &[Seed]) -> Entry {
    let base = state.header.revision;
    let time = Timestamp(1_000_000 + u64::try_from(number).unwrap());
    let mut changes = Vec::new();
    for (seed, part) in seeds.iter().zip(0..) {
        let mut scratch = state.clone();
        let events: Vec<Event> = events(&scratch, *seed)
            .into_iter()
            .inspect(|event| {
                let next = scratch.header.revision.next();
                evolve::evolve(&mut scratch, next, event);
            })
            .collect();
        let verdict = match events.is_empty() {
            true => Verdict::Rejected(Vec::<Rejection>::new()),
            false => Verdict::Accepted,
        };
        let change = Change { origin: origin(state, number * 8 + part, *seed), events, verdict };
        evolve::apply_change(state, &change);
        changes.push(change);
    }
    state.header.time = state.header.time.max(time);
    Entry { base, time, changes }
}

/// Returns one entry per list of seeds, each generated for the state after the previous ones.
pub fn entries(seeds: &[Vec<Seed>]) -> Vec<Entry> {
    let mut state = State::default();
    (1..).zip(seeds).map(|(number, seeds)| entry(&mut state, number, seeds)).collect()
}

/// Returns `count` entries with `events` events each, starting at `state`.
pub fn many(state: &mut State, count: u64, events: u64) -> Vec<Entry> {
    let mut made = Vec::new();
    for number in 0..count {
        let base = state.header.revision;
        let limits = |n: u64| Event::LimitsSet {
            limits: Limits {
                premium_units: u16::try_from(n % 1_000).unwrap(),
                ..Limits::default()
            },
        };
        let number = u128::from(base.0) * 1_000 + u128::from(number) + 1;
        let entry = operator_entry(base, number, (0..events).map(|n| limits(base.0 + n)).collect());
        evolve::apply(state, &entry).unwrap();
        made.push(entry);
    }
    made
}

fn origin(state: &State, number: u128, (kind, a, _): Seed) -> Origin {
    let reporter = pick(state.agents.values(), a).filter(|_| kind % 3 == 0);
    match reporter {
        Some(agent) => Origin::Report {
            agent: agent.description.name.clone(),
            generation: meridian_domain::Generation(u64::from(a)),
            sequence: meridian_domain::Sequence(u64::try_from(number).unwrap()),
        },
        None if kind % 7 == 1 => Origin::System,
        None => Origin::Operator {
            request: request(number),
            digest: Digest([a; 32]),
            actor: Actor::new("ada@example").unwrap(),
            reason: None,
        },
    }
}

fn pick<T>(mut from: impl Iterator<Item = T> + Clone, choice: u8) -> Option<T> {
    let count = from.clone().count();
    from.nth(usize::from(choice) % count.max(1))
}

fn region(choice: u8) -> RegionName {
    pick(catalog::regions().iter(), choice).unwrap().name.clone()
}

fn api(choice: u8) -> Api {
    Api {
        name: ApiName::new(["orders", "stock"][usize::from(choice % 2)]).unwrap(),
        path: ApiPath::new(&format!("/{choice}")).unwrap(),
        backend: BackendUrl::new("http://backend").unwrap(),
        regional: BTreeMap::new(),
        timeouts: Timeouts::default(),
    }
}

fn description(choice: u8) -> AgentDescription {
    AgentDescription {
        name: AgentName::new(format!("agent-{}", choice % 5)).unwrap(),
        node: NodeId(u64::from(choice)),
        region: region(choice % 3),
        zone: None,
        witness: choice.is_multiple_of(2),
        client_address: "127.0.1.1:7400".parse().unwrap(),
        peer_address: "127.0.1.1:7401".parse().unwrap(),
        gateway_host: "127.0.1.1".to_owned(),
        supports: DataVersion(u32::from(choice)),
    }
}

fn network(choice: u8) -> Network {
    format!("10.{}.0.0/16", choice % 4).parse().unwrap()
}

/// Returns an event about networks, round trips or lost gateways.
fn routing_event(state: &State, kind: u8, a: u8, b: u8) -> Option<Event> {
    let lost = state.losses.iter().flat_map(|(agent, losses)| {
        losses.keys().map(|gateways| (agent.clone(), gateways.clone()))
    });
    Some(match kind % 6 {
        0 => Event::DnsSet { settings: DnsSettings { ttl_seconds: a, ..DnsSettings::default() } },
        1 => Event::NetworkRemoved { network: *pick(state.networks.keys(), a)? },
        2 => {
            let (one, other) = (region(a).min(region(b)), region(a).max(region(b)));
            Event::RoundTripMeasured { one, other, micros: u32::from(a) }
        }
        3 => {
            let (agent, gateways) = pick(lost, a)?;
            Event::GatewaysFound { agent, gateways }
        }
        4 => Event::GatewaysLost {
            agent: pick(state.agents.keys(), a)?.clone(),
            gateways: Gateways::All,
            evidence: Evidence { unreachable_from: BTreeSet::new(), groups: b },
            relapses: a,
        },
        _ => Event::NetworkAssigned { network: network(a), region: region(b) },
    })
}

/// Returns events that apply to the state; none if there is no subject of that kind.
fn events(state: &State, (kind, a, b): Seed) -> Vec<Event> {
    match kind % 6 {
        5 => routing_event(state, kind / 6, a, b).into_iter().collect(),
        0 => cluster_event(state, kind / 6, a, b).into_iter().collect(),
        1 | 2 => service_events(state, kind / 6, a, b),
        _ => unit_event(state, kind / 6, a, b).into_iter().collect(),
    }
}

fn cluster_event(state: &State, kind: u8, a: u8, b: u8) -> Option<Event> {
    let agent = pick(state.agents.values(), a).map(|agent| agent.description.clone());
    Some(match kind % 10 {
        0 => Event::ClusterBootstrapped {
            cluster: ClusterId(Uuid::from_u128(u128::from(a))),
            data_version: DataVersion(1),
        },
        1 => Event::DataVersionRaised { version: DataVersion(u32::from(a)) },
        2 => Event::LimitsSet { limits: Limits { voters: 3, ..Limits::default() } },
        3 => {
            let name = RegionName::new(format!("moon-{}", a % 4)).unwrap();
            Event::RegionDefined { region: Region { name, ..catalog::regions()[0].clone() } }
        }
        4 => Event::AgentUpdated { agent: AgentDescription { node: NodeId(b.into()), ..agent? } },
        5 => Event::AgentDrained { agent: agent?.name },
        6 => Event::AgentUndrained { agent: agent?.name },
        7 => {
            let agent = agent?;
            Event::AgentRemoved { agent: agent.name, node: agent.node }
        }
        8 => Event::ClusterRecovered { epoch: Epoch(a.into()) },
        _ => Event::AgentRegistered { agent: description(a) },
    })
}

fn service_events(state: &State, kind: u8, a: u8, b: u8) -> Vec<Event> {
    if kind.is_multiple_of(17) {
        let service = ServiceName::new(format!("service-{}", a % 3)).unwrap();
        if state.services.contains_key(&service) {
            return vec![Event::ServiceDeleted { service }];
        }
        let region = region(b);
        let zones = Zones::new();
        return vec![
            Event::ServiceCreated {
                service: service.clone(),
                tier: Tier::Premium,
                primary: region.clone(),
                port: 8_080,
            },
            Event::RegionAdded { service, region, units: 1, zones },
        ];
    }
    let Some(present) = pick(state.services.values(), a) else { return Vec::new() };
    let service = present.name.clone();
    let Some(location) = pick(present.locations.keys(), b).cloned() else { return Vec::new() };
    vec![match kind % 18 {
        1 => Event::TierChanged { service, tier: Tier::Premium },
        2 => Event::PortChanged { service, port: 9_000 + u16::from(b) },
        3 => Event::UnitsScaled { service, region: location, units: u16::from(b) },
        4 => {
            let zones = [1.try_into().unwrap(), 2.try_into().unwrap()].into();
            Event::ZonesChanged { service, region: location, zones }
        }
        5 if present.locations.len() > 1 => Event::RegionRemoved { service, region: location },
        6 => Event::PrimaryPromoted { service, region: location },
        7 => Event::GatewayEnabled { service, region: location },
        8 => Event::GatewayDisabled { service, region: location },
        9 => Event::RollStarted { service, region: location },
        10 => Event::ApiPublished { service, api: api(b) },
        12 => Event::RoutingChanged { service, routing: RoutingPolicy::Weighted },
        14 => Event::WhenDisabledChanged { service, when_disabled: WhenDisabled::Redirect },
        13 => {
            let preference = Preference { priority: u16::from(a) + 1, weight: u16::from(b) };
            Event::PreferenceChanged { service, region: location, preference }
        }
        11 if state.apis.contains_key(&(service.clone(), api(b).name)) => {
            Event::ApiRemoved { service, api: api(b).name }
        }
        _ => Event::RegionAdded { service, region: region(b), units: 2, zones: Zones::new() },
    }]
}

fn unit_event(state: &State, kind: u8, a: u8, b: u8) -> Option<Event> {
    if kind % 6 < 2 {
        let service = pick(state.services.keys(), a)?.clone();
        let unit = UnitId { service, region: region(b), slot: u16::from(b % 4) };
        let incarnation = Incarnation(state.header.revision.next().0);
        let agent = pick(state.agents.keys(), b)?.clone();
        return Some(Event::UnitAssigned { unit, incarnation, agent });
    }
    let Unit { id: unit, incarnation, phase, .. } = pick(state.units.values(), a)?.clone();
    let is_ready = matches!(phase, UnitPhase::Ready { .. });
    Some(match kind % 6 {
        2 => Event::UnitReleased { unit, incarnation },
        3 if is_ready && b.is_multiple_of(2) => {
            Event::UnitConfigured { unit, incarnation, configuration: Revision(a.into()) }
        }
        3 if is_ready => Event::UnitRefused {
            unit,
            incarnation,
            configuration: Revision(a.into()),
            cause: "host not found".to_owned(),
        },
        3 => Event::UnitReady {
            unit,
            incarnation,
            pid: Some(b.into()),
            configuration: Revision(a.into()),
        },
        4 => Event::UnitFailed {
            unit,
            incarnation,
            restarts: b.into(),
            next_try: Timestamp(5),
            cause: "exit status 1".to_owned(),
        },
        _ => Event::UnitStopped { unit, incarnation },
    })
}

#[test]
fn random_entries_have_every_event_type() {
    let mut state = State::default();
    let mut generated = BTreeSet::new();
    let mut random = 1_u32;
    for number in 0..3_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, kind, a, b] = random.to_le_bytes();
        let entry = entry(&mut state, number, &[(kind, a, b)]);
        let events = entry.changes.iter().flat_map(|change| &change.events);
        generated.extend(events.map(Event::event_type));
    }
    // Trimming has its own tests, because it removes events.
    generated.insert(EventType::HistoryTrimmed);
    let missing: Vec<_> =
        EventType::ALL.iter().filter(|known| !generated.contains(known)).collect();
    assert!(missing.is_empty(), "generate events of type {missing:?}");
}
