//! Decisions of the routing, in a state of the maximum size.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use meridian_domain::routing::{Client, client_network, closest_region, order};
use meridian_domain::{
    Address, Agent, AgentDescription, AgentName, DataVersion, Generation, Incarnation, Location,
    NodeId, RegionName, Revision, RoutingPolicy, Sequence, Service, ServiceName, State, Tier, Unit,
    UnitId, UnitPhase, WhenDisabled, Zones, catalog, limits,
};

use super::options::Options;
use super::report::{Report, Unit as Metric};

/// Lowest port of a service.
const FIRST_PORT: u16 = 8_080;
/// Decisions between two looks at the clock.
const BATCH: usize = 100;

/// Measures decisions per second on one core, for services in all regions of the catalog.
///
/// # Errors
/// If a name is invalid, which is a defect of the benchmark.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new(None);
    for policy in [RoutingPolicy::Nearest, RoutingPolicy::Weighted] {
        let state = state(policy)?;
        for _ in 0..options.rounds {
            let per_second = decisions(&state, Duration::from_secs(options.seconds));
            report.meridian(&format!("{policy}: decisions"), Metric::PerSecond, per_second);
        }
    }
    let state = state(RoutingPolicy::Nearest)?;
    for _ in 0..options.rounds {
        let per_second = per_second(Duration::from_secs(options.seconds), |number| {
            let degrees = (number % 180) as f64 - 90.0;
            closest_region(&state, degrees, degrees * 2.0).name.as_str().len()
        });
        report.meridian("closest regions", Metric::PerSecond, per_second);
    }
    Ok(report)
}

fn decisions(state: &State, duration: Duration) -> f64 {
    let services: Vec<&Service> = state.services.values().collect();
    let regions = catalog::regions();
    per_second(duration, |number| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 | (number as u32) << 8);
        let client = Client {
            region: regions[number % regions.len()].name.clone(),
            network: Some(client_network(IpAddr::V4(address))),
        };
        order(state, services[number % services.len()], &client).routed().count()
    })
}

/// Returns how often `decide` runs per second.
fn per_second(duration: Duration, mut decide: impl FnMut(usize) -> usize) -> f64 {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < duration {
        for number in count..count + BATCH {
            std::hint::black_box(decide(number));
        }
        count += BATCH;
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// Returns a state with the maximum number of services, each with a ready unit in every region of
/// the catalog, on one agent in each.
fn state(policy: RoutingPolicy) -> anyhow::Result<State> {
    let mut state = State::default();
    let mut locations = BTreeMap::new();
    for (number, region) in (1..).zip(catalog::regions()) {
        let agent = agent(&region.name, number)?;
        state.agents.insert(agent.description.name.clone(), agent);
        locations.insert(region.name.clone(), Location::new(1, Zones::new()));
    }
    for number in 0..limits::SERVICES {
        let name = ServiceName::new(format!("service-{number}"))?;
        let port = FIRST_PORT + u16::try_from(number)?;
        for region in locations.keys() {
            let unit = unit(&name, region, port)?;
            state.units.insert((unit.id.clone(), unit.incarnation), unit);
        }
        let service = Service {
            name: name.clone(),
            tier: Tier::Premium,
            primary: catalog::regions()[0].name.clone(),
            port,
            routing: policy,
            when_disabled: WhenDisabled::Refuse,
            locations: locations.clone(),
            revision: Revision(1),
            configuration: Revision(1),
        };
        state.services.insert(name, service);
    }
    Ok(state)
}

fn agent(region: &RegionName, number: u64) -> anyhow::Result<Agent> {
    let address = |port: u16| Address::new(format!("10.0.0.{number}:{port}"));
    Ok(Agent {
        description: AgentDescription {
            name: AgentName::new(region.as_str())?,
            node: NodeId(number),
            region: region.clone(),
            zone: None,
            witness: false,
            client_address: address(7_400)?,
            peer_address: address(7_401)?,
            gateway_host: format!("10.0.0.{number}"),
            supports: DataVersion::SUPPORTED,
        },
        drained: false,
        registered: Revision(1),
        last_report: (Generation(1), Sequence(1)),
    })
}

fn unit(service: &ServiceName, region: &RegionName, port: u16) -> anyhow::Result<Unit> {
    Ok(Unit {
        id: UnitId { service: service.clone(), region: region.clone(), slot: 1 },
        incarnation: Incarnation(1),
        agent: AgentName::new(region.as_str())?,
        port,
        phase: UnitPhase::Ready { pid: None, configuration: Revision(1), refused: None },
    })
}
