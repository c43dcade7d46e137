//! Golden texts of every table at 80 columns, and a check that realistic long names fit.

use std::time::{Duration, SystemTime};

use meridian_proto::convert::json;
use meridian_proto::v1;
use serde_json::{Value, json};

use super::super::*;
use super::{event, silence};
use crate::client::output::{Row, WIDTH, table, wide_table};

const LONG_SERVICE: &str = "checkout-production";
const LONG_REGION: &str = "germanywestcentral";
const LONG_AGENT: &str = "germanywestcentral-1";

fn services() -> Vec<ServiceView> {
    let service = |name: &str, primary: &str| v1::Service {
        name: name.to_owned(),
        tier: "developer".to_owned(),
        primary: primary.to_owned(),
        port: 8080,
        units: 3,
        revision: 12_345,
        regions: vec![primary.to_owned(), "eastus".to_owned()],
        configuration: 5,
        routing: "nearest".to_owned(),
        when_disabled: "refuse".to_owned(),
    };
    let services = [service("contoso", "westeurope"), service(LONG_SERVICE, LONG_REGION)];
    services.into_iter().map(ServiceView::from).collect()
}

fn locations() -> Vec<LocationView> {
    let location = |region: &str, status: v1::LocationStatus, url: &str| v1::Location {
        region: region.to_owned(),
        display_name: "Germany West Central".to_owned(),
        primary: status == v1::LocationStatus::Ready,
        units: 12,
        ready_units: 12,
        gateway_enabled: true,
        gateway_url: url.to_owned(),
        configuration: 5,
        status: status.into(),
        ..Default::default()
    };
    let long_url = "http://gateway.germanywestcentral.example.net:8080";
    let mut unreachable = location(LONG_REGION, v1::LocationStatus::AgentUnreachable, long_url);
    unreachable.ready_units = 0;
    unreachable.unknown_units = 12;
    unreachable.blocked_reason = "agent germanywestcentral-1 unreachable for 12 s".to_owned();
    unreachable.unreachable_agents =
        vec![v1::UnreachableAgent { agent: LONG_AGENT.to_owned(), silence: Some(silence(false)) }];
    let lost_since = prost_types::Timestamp { seconds: 1_795_000_000, nanos: 123_000_000 };
    let offline = v1::Location {
        ready_units: 0,
        offline_since: Some(lost_since),
        ..location(LONG_REGION, v1::LocationStatus::Offline, "")
    };
    let locations = [
        offline,
        location("westeurope", v1::LocationStatus::Ready, "http://127.0.1.1:8080"),
        location("eastus", v1::LocationStatus::NoAgent, ""),
        unreachable,
    ];
    locations.into_iter().map(LocationView::from).collect()
}

fn units() -> Vec<UnitView> {
    let unit = |unit: &str, agent: &str, state: &str| v1::Unit {
        unit: unit.to_owned(),
        incarnation: 14,
        agent: agent.to_owned(),
        state: state.to_owned(),
        reported_state: "ready".to_owned(),
        address: "127.0.1.1:8080".to_owned(),
        ..Default::default()
    };
    let ready = v1::Unit {
        pid: Some(4711),
        configuration: 5,
        utilization_permille: Some(250),
        ..unit("contoso/westeurope/1", "westeurope-1", "ready")
    };
    let failed = v1::Unit {
        restarts: 12,
        cause: "exited with code 1: cannot bind 127.0.1.1:8080, address already in use".to_owned(),
        reported_state: "failed".to_owned(),
        ..unit("contoso/westeurope/2", "westeurope-1", "failed")
    };
    let unknown = |at_least| v1::Unit {
        unknown_for: Some(silence(at_least)),
        ..unit(&format!("{LONG_SERVICE}/{LONG_REGION}/12"), LONG_AGENT, "unknown")
    };
    [ready, failed, unknown(false), unknown(true)].into_iter().map(UnitView::from).collect()
}

fn members() -> Vec<MemberView> {
    let member = |agent: &str, region: &str, role: &str, seconds: i64| v1::Member {
        id: "00000000000000ff".to_owned(),
        agent: agent.to_owned(),
        region: region.to_owned(),
        address: "127.0.1.1:7400".to_owned(),
        role: role.to_owned(),
        voter: true,
        last_contact: Some(prost_types::Duration { seconds, nanos: 0 }),
        next: "stay".to_owned(),
        ..Default::default()
    };
    let waiting = v1::Member {
        last_contact_is_bound: true,
        next: "loseVote".to_owned(),
        waits_for: Some(v1::Wait::default()),
        ..member(LONG_AGENT, LONG_REGION, "follower", 12)
    };
    let removed = v1::Member { next: "leave".to_owned(), ..member("", "", "learner", 3_600) };
    let members = [member("westeurope-1", "westeurope", "leader", 0), waiting, removed];
    members.into_iter().map(MemberView::from).collect()
}

fn agents() -> Vec<AgentView> {
    let agent = |name: &str, region: &str| v1::AgentStatus {
        name: name.to_owned(),
        region: region.to_owned(),
        revision: Some(1_234_567),
        state_hash: "ab".repeat(32),
        lag: Some(prost_types::Duration { seconds: 0, nanos: 30_000_000 }),
        reachable: true,
        ..Default::default()
    };
    let unreachable = v1::AgentStatus {
        reachable: false,
        revision: None,
        lag: None,
        silence: Some(silence(true)),
        ..agent(LONG_AGENT, LONG_REGION)
    };
    let mute = v1::AgentStatus { reachable: false, ..agent("eastus-1", "eastus") };
    let drained = v1::AgentStatus { drained: true, ..agent("eastus-2", "eastus") };
    let agents = [agent("westeurope-1", "westeurope"), unreachable, mute, drained];
    agents.into_iter().map(AgentView::from).collect()
}

fn apis() -> Vec<ApiView> {
    let api = |name: &str, backend: &str| v1::Api {
        name: name.to_owned(),
        path: format!("/{name}"),
        backend: backend.to_owned(),
        regional_backends: vec![v1::RegionalBackend {
            region: "eastus".to_owned(),
            backend: "http://eastus".to_owned(),
        }],
        connect_timeout_ms: Some(5_000),
        response_timeout_ms: Some(200),
        idle_timeout_ms: Some(60_000),
    };
    let long = "https://recommendations.internal.germanywestcentral.example.net/api/v2";
    let apis = [api("orders", "http://orders.internal"), api("recommendations", long)];
    apis.into_iter().map(ApiView::from).collect()
}

fn regions() -> Vec<RegionView> {
    let region = |name: &str, display_name: &str, agents| v1::Region {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        latitude: 50.1234,
        longitude: 8.6821,
        agents,
        custom: agents == 0,
    };
    let regions =
        [region(LONG_REGION, "Germany West Central", 1), region("mars", &"Mars ".repeat(12), 0)];
    regions.into_iter().map(RegionView::from).collect()
}

fn limits() -> Vec<LimitsView> {
    vec![LimitsView::from(v1::Limits { premium_units: 1_000, voters: 5, ..Default::default() })]
}

fn events() -> Vec<EventView> {
    let unit = json!({"service": LONG_SERVICE, "region": LONG_REGION, "slot": 12});
    let cause = "exited with code 1: cannot bind 127.0.1.1:8080, address already in use";
    let data = json!({"unit": unit, "incarnation": 14, "restarts": 3, "cause": cause});
    let failed = v1::Event { r#type: "UnitFailed".to_owned(), data: object(data), ..event() };
    vec![EventView::from(event()), EventView::from(failed)]
}

fn object(data: Value) -> Option<prost_types::Struct> {
    let Value::Object(object) = data else { unreachable!("is an object") };
    Some(json::to_struct(object))
}

fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{} characters: {line}", line.chars().count());
    }
}

fn default_table<T: Row>(rows: &[T]) -> String {
    let text = table(rows);
    assert_fits(&text);
    text
}

#[test]
fn services_at_80_columns() {
    assert_eq!(
        default_table(&services()),
        "\
NAME                 TIER       REGIONS  UNITS  PORT  PRIMARY
contoso              developer  2        3      8080  westeurope
checkout-production  developer  2        3      8080  germanywestcentral
"
    );
}

#[test]
fn locations_at_80_columns() {
    assert_eq!(
        default_table(&locations()),
        "\
REGION              PRIMARY  READY  STATUS                  URL
germanywestcentral  no       0/12   offline since 11:06:40  -
westeurope          yes      12/12  ready                   http://127.0.1.1:80…
eastus              no       12/12  no agent                -
germanywestcentral  no       0/12   agent unreachable 12 s  http://gateway.germ…
"
    );
}

#[test]
fn units_at_80_columns() {
    assert_eq!(
        default_table(&units()),
        "\
UNIT                                       STATE              LOAD  AGENT
contoso/westeurope/1                       ready              25 %  westeurope-1
contoso/westeurope/2                       failed 12x         -     westeurope-1
checkout-production/germanywestcentral/12  unknown 12 s       -     germanywest…
checkout-production/germanywestcentral/12  unknown over 12 s  -     germanywest…
"
    );
}

#[test]
fn the_longest_names_fit_80_columns() {
    let (service, region, agent) = ("s".repeat(50), "r".repeat(50), "a".repeat(50));
    let unit = v1::Unit {
        unit: format!("{service}/{region}/12"),
        agent: agent.clone(),
        state: "unknown".to_owned(),
        unknown_for: Some(silence(true)),
        ..Default::default()
    };
    let member = v1::Member {
        agent: agent.clone(),
        region: region.clone(),
        role: "follower".to_owned(),
        ..Default::default()
    };
    let status = v1::AgentStatus { name: agent, region: region.clone(), ..Default::default() };
    let location = v1::Location { region: region.clone(), ..Default::default() };
    let service =
        v1::Service { name: service.clone(), primary: region.clone(), ..Default::default() };
    let api = v1::Api { name: "n".repeat(50), path: "/p".repeat(64), ..Default::default() };
    let custom = v1::Region { name: region, display_name: "D".repeat(50), ..Default::default() };
    let text = default_table(&[UnitView::from(unit)]);
    assert!(text.contains("r/12  unknown over 12 s"), "{text}");
    default_table(&[MemberView::from(member)]);
    default_table(&[AgentView::from(status)]);
    default_table(&[LocationView::from(location)]);
    default_table(&[ServiceView::from(service)]);
    default_table(&[ApiView::from(api)]);
    default_table(&[RegionView::from(custom)]);
}

#[test]
fn members_at_80_columns() {
    assert_eq!(
        default_table(&members()),
        "\
AGENT                 REGION              ROLE      CONTACT     NEXT
westeurope-1          westeurope          leader    now         -
germanywestcentral-1  germanywestcentral  follower  over 12 s   lose vote, waits
00000000000000ff      -                   learner   60 min ago  leave
"
    );
}

#[test]
fn agents_at_80_columns() {
    assert_eq!(
        default_table(&agents()),
        "\
AGENT                 REGION              STATUS                 REVISION  LAG
westeurope-1          westeurope          reachable              1234567   30 ms
germanywestcentral-1  germanywestcentral  unreachable over 12 s  -         -
eastus-1              eastus              not responding         1234567   30 ms
eastus-2              eastus              drained                1234567   30 ms
"
    );
}

#[test]
fn apis_at_80_columns() {
    assert_eq!(
        default_table(&apis()),
        "\
NAME             PATH              REGIONAL  BACKEND
orders           /orders           1         http://orders.internal
recommendations  /recommendations  1         https://recommendations.internal.g…
"
    );
}

#[test]
fn regions_at_80_columns() {
    assert_eq!(
        default_table(&regions()),
        "\
REGION              AGENTS  ORIGIN   NAME
germanywestcentral  1       catalog  Germany West Central
mars                -       custom   Mars Mars Mars Mars Mars Mars Mars Mars Ma…
"
    );
}

#[test]
fn limits_at_80_columns() {
    assert_eq!(
        default_table(&limits()),
        "\
DEVELOPER UNITS  BASIC UNITS  STANDARD UNITS  PREMIUM UNITS  VOTERS
0                0            0               1000           5
"
    );
}

#[test]
fn events_at_80_columns() {
    assert_fits(&table(&events()));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_012);
    let text: String = events().iter().map(|event| event.line_at(now, WIDTH)).collect();
    assert_fits(&text);
    assert_eq!(
        text,
        concat!(
            "    12    11 s ago  ada@workstation added eastus to contoso with 2 units in zon…\n",
            "    12    11 s ago  ada@workstation UnitFailed cause=\"exited with code 1: canno…\n",
        )
    );
}

#[test]
fn wide_tables_have_everything() {
    let heads = |text: String| {
        let head = text.lines().next().expect("has heads").to_owned();
        head.split("  ")
            .filter(|head| !head.is_empty())
            .map(|head| head.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(heads(wide_table(&units())), UnitView::WIDE_HEADS);
    assert_eq!(heads(wide_table(&members())), MemberView::WIDE_HEADS);
    let wide = wide_table(&units());
    assert!(wide.contains("address already in use") && wide.contains("over 12000 ms"), "{wide}");
    let wide = wide_table(&members());
    assert!(wide.contains("over 12000 ms") && wide.contains("lose vote, waits"), "{wide}");
    let wide = wide_table(&apis());
    assert!(wide.contains("eastus=http://eastus") && wide.contains("60000 ms"), "{wide}");
    assert!(wide_table(&events()).contains("2026-11-18T11:06:40.007Z"));
    assert!(wide_table(&agents()).contains(&"ab".repeat(32)));
    assert!(wide_table(&locations()).contains("gateway.germanywestcentral.example.net:8080"));
    assert!(wide_table(&services()).contains("westeurope,eastus"));
    assert!(wide_table(&regions()).contains("50.1234"));
}
