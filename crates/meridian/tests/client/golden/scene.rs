//! The cluster that the golden texts show: a service in two regions, one of whose agents is
//! unreachable.

use std::collections::BTreeMap;

use meridian_domain::api::Timeouts;
use meridian_domain::{
    AgentName, Api, ApiName, ApiPath, BackendUrl, DnsSettings, Event, Network, Region, RegionName,
    ServiceName,
};
use meridian_proto::convert::event::data;
use meridian_proto::v1;
use serde_json::json;

use crate::fake::{Agent, Reply, Stream, event_of, frame, location};

/// The first of three agents, in the scene.
pub async fn agent(replies: impl IntoIterator<Item = Reply>) -> Agent {
    let westeurope = v1::Location {
        display_name: "West Europe".to_owned(),
        primary: true,
        gateway_enabled: true,
        gateway_url: "http://127.0.1.1:8080".to_owned(),
        ..location("westeurope", v1::LocationStatus::Ready, 2, 2)
    };
    let unreachable =
        v1::UnreachableAgent { agent: "eastus-1".to_owned(), silence: Some(silence()) };
    let eastus = v1::Location {
        display_name: "East US".to_owned(),
        gateway_enabled: true,
        gateway_url: "http://127.0.1.2:8080".to_owned(),
        unknown_units: 1,
        unreachable_agents: vec![unreachable],
        ..location("eastus", v1::LocationStatus::AgentUnreachable, 0, 1)
    };
    let agent = Agent::start(replies).await.with_locations([westeurope]);
    agent
        .with_other_locations([eastus])
        .with_apis([v1::Api::from(&api())])
        .with_units([unit("westeurope", 1), unit("westeurope", 2), unknown_unit()])
        .with_members([members()])
        .with_catalog([
            region("eastus", "East US", 37.4),
            region("westeurope", "West Europe", 52.4),
        ])
        .with_status(status())
}

/// The scene without a leader, and the commands that then read the contacted agent's view.
pub async fn without_leader() -> Vec<(&'static str, Agent)> {
    let mut scenes = Vec::new();
    for line in ["region list --stale", "unit list --stale", "cluster members"] {
        let members = members().into_iter().map(|member| v1::Member {
            last_contact: None,
            next: String::new(),
            ..member
        });
        let members = members.collect();
        let agent = agent([]).await.without_leader("westeurope-1").with_members([members]);
        scenes.push((line, agent));
    }
    let refused = v1::Warning {
        reason: "NO_QUORUM".to_owned(),
        severity: v1::Severity::ChangesRefused.into(),
        message: "no quorum: 1 of 3 voters reachable; changes are refused".to_owned(),
        next_step: "start eastus-1 or northeurope-1".to_owned(),
        subject: String::new(),
    };
    let status = v1::GetStatusResponse {
        health: v1::Health::ChangesRefused.into(),
        leader: String::new(),
        observer: Some(v1::Observer { agent: "westeurope-1".to_owned(), leader: false }),
        warnings: vec![refused],
        ..status()
    };
    scenes.push(("status --check", agent([]).await.with_status(status)));
    scenes
}

/// The members before and after the scene's third agent joined.
pub fn joining() -> [Vec<v1::Member>; 2] {
    let joined = member("japaneast-1", "japaneast", 0);
    [members(), members().into_iter().chain([joined]).collect()]
}

/// The response to a change that caused this event.
pub fn accepted(event: &Event) -> v1::ChangeResponse {
    let event = v1::Event {
        revision: 12,
        r#type: event.type_name().to_owned(),
        data: Some(data(event)),
        actor: "ada@host".to_owned(),
        ..Default::default()
    };
    v1::ChangeResponse { revision: 12, base: 11, events: vec![event], ..Default::default() }
}

pub fn service_name(name: &str) -> ServiceName {
    ServiceName::new(name).expect("is a name")
}

pub fn region_name(name: &str) -> RegionName {
    RegionName::new(name).expect("is a name")
}

pub fn agent_name(name: &str) -> AgentName {
    AgentName::new(name).expect("is a name")
}

/// The API of the scene.
pub fn api() -> Api {
    Api {
        name: ApiName::new("orders").expect("is a name"),
        path: ApiPath::new("/orders").expect("is a path"),
        backend: BackendUrl::new("http://10.0.0.7:8080").expect("is a backend"),
        regional: BTreeMap::new(),
        timeouts: Timeouts::default(),
    }
}

/// A custom region.
pub fn moon() -> Region {
    Region {
        name: region_name("moon"),
        display_name: "Moon".to_owned(),
        latitude_microdegrees: 500_000,
        longitude_microdegrees: 23_500_000,
    }
}

/// A stream of events.
pub fn events() -> Stream {
    let data = json!({"service": "contoso", "region": "eastus", "units": 2});
    let events = vec![event_of(1, "UnitsScaled", data)];
    (vec![v1::WatchResponse { events, ..Default::default() }, frame([], true)], None)
}

fn silence() -> v1::Silence {
    let duration = Some(prost_types::Duration { seconds: 12, nanos: 0 });
    v1::Silence { duration, at_least: false }
}

fn unit(region: &str, slot: u32) -> v1::Unit {
    v1::Unit {
        unit: format!("contoso/{region}/{slot}"),
        incarnation: u64::from(slot),
        service: "contoso".to_owned(),
        region: region.to_owned(),
        agent: format!("{region}-1"),
        state: "ready".to_owned(),
        reported_state: "ready".to_owned(),
        pid: Some(4_710 + slot),
        address: "127.0.1.1:8080".to_owned(),
        configuration: 12,
        in_flight: Some(3),
        utilization_permille: Some(250),
        ..Default::default()
    }
}

fn unknown_unit() -> v1::Unit {
    v1::Unit {
        state: "unknown".to_owned(),
        pid: None,
        configuration: 0,
        in_flight: None,
        utilization_permille: None,
        unknown_for: Some(silence()),
        ..unit("eastus", 1)
    }
}

fn member(agent: &str, region: &str, seconds: i64) -> v1::Member {
    v1::Member {
        id: "00000000000000ff".to_owned(),
        agent: agent.to_owned(),
        region: region.to_owned(),
        address: "127.0.1.1:7400".to_owned(),
        role: "follower".to_owned(),
        voter: true,
        last_contact: Some(prost_types::Duration { seconds, nanos: 0 }),
        next: "stay".to_owned(),
        ..Default::default()
    }
}

fn members() -> Vec<v1::Member> {
    let leader =
        v1::Member { role: "leader".to_owned(), ..member("westeurope-1", "westeurope", 0) };
    vec![member("eastus-1", "eastus", 12), member("northeurope-1", "northeurope", 0), leader]
}

fn region(name: &str, display_name: &str, latitude: f64) -> v1::Region {
    v1::Region {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        latitude,
        longitude: 4.9,
        agents: 1,
        custom: false,
    }
}

fn status() -> v1::GetStatusResponse {
    let unreachable = v1::Warning {
        reason: "AGENT_UNREACHABLE".to_owned(),
        severity: v1::Severity::Degraded.into(),
        message: "agent eastus-1 is unreachable for 12 s".to_owned(),
        next_step: "start eastus-1, or check its machine and network".to_owned(),
        subject: "agents/eastus-1".to_owned(),
    };
    let reachable = |name: &str| v1::AgentStatus {
        name: format!("{name}-1"),
        region: name.to_owned(),
        revision: Some(12),
        state_hash: "ab".repeat(32),
        lag: Some(prost_types::Duration { seconds: 0, nanos: 30_000_000 }),
        reachable: true,
        applied: Some(20),
        events_hash: "cd".repeat(32),
        ..Default::default()
    };
    let eastus = v1::AgentStatus {
        name: "eastus-1".to_owned(),
        region: "eastus".to_owned(),
        silence: Some(silence()),
        ..Default::default()
    };
    v1::GetStatusResponse {
        cluster_id: "01932f5e-8b1a-4c3d-9e4f-0123456789ab".to_owned(),
        contacted: "westeurope-1".to_owned(),
        leader: "westeurope-1".to_owned(),
        agents: vec![eastus, reachable("northeurope"), reachable("westeurope")],
        warnings: vec![unreachable],
        data_version: 1,
        observer: Some(v1::Observer { agent: "westeurope-1".to_owned(), leader: true }),
        health: v1::Health::Degraded.into(),
        epoch: 0,
    }
}

pub fn dns() -> DnsSettings {
    let zone = Some("gateways.example.net".parse().expect("is a zone"));
    DnsSettings { zone, ttl_seconds: 10, ..DnsSettings::default() }
}

fn network() -> Network {
    "10.1.0.0/16".parse().expect("is a network")
}

pub fn network_assigned() -> Event {
    Event::NetworkAssigned { network: network(), region: region_name("eastus") }
}

pub fn network_removed() -> Event {
    Event::NetworkRemoved { network: network() }
}
