//! The JSON keys that programs rely on: a test that fails here means that scripts break.

mod tables;

use meridian_proto::convert::json;
use meridian_proto::v1;
use serde::Serialize;
use serde_json::json;

use super::*;

const ID: &str = "01932f5e-8b1a-7c3d-9e4f-0123456789ab";

fn printed(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("is JSON")
}

fn observer() -> Option<v1::Observer> {
    Some(v1::Observer { agent: "westeurope-1".to_owned(), leader: true })
}

fn silence(at_least: bool) -> v1::Silence {
    v1::Silence { duration: Some(prost_types::Duration { seconds: 12, nanos: 0 }), at_least }
}

fn event() -> v1::Event {
    let serde_json::Value::Object(data) =
        json!({"service": "contoso", "region": "eastus", "units": 2, "zones": [1, 2]})
    else {
        unreachable!("is an object")
    };
    v1::Event {
        revision: 12,
        time: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 7_000_000 }),
        actor: "ada@workstation".to_owned(),
        actor_verified: false,
        reason: "more load".to_owned(),
        request_id: ID.to_owned(),
        change_id: 11,
        r#type: "RegionAdded".to_owned(),
        data: Some(json::to_struct(data)),
    }
}

#[test]
fn a_service_has_these_keys() {
    let service = v1::Service {
        name: "contoso".to_owned(),
        tier: "premium".to_owned(),
        primary: "westeurope".to_owned(),
        port: 8080,
        units: 3,
        revision: 9,
        regions: vec!["westeurope".to_owned()],
        configuration: 5,
        routing: "nearest".to_owned(),
        when_disabled: "refuse".to_owned(),
    };
    let view = ServiceView::from(service);
    let keys = r#"{"name":"contoso","tier":"premium","primary":"westeurope","port":8080,"routing":"nearest","whenDisabled":"refuse","units":3,"regions":["westeurope"],"revision":9,"configuration":5"#;
    assert_eq!(printed(&view), format!("{keys}}}"));
    let detail = ServiceDetailView { service: view, locations: vec![], apis: vec![] };
    assert_eq!(printed(&detail), format!(r#"{keys},"locations":[],"apis":[]}}"#));
}

#[test]
fn a_location_has_these_keys() {
    let mut location = v1::Location {
        region: "eastus".to_owned(),
        display_name: "East US".to_owned(),
        units: 2,
        ready_units: 0,
        unknown_units: 1,
        zones: vec![1, 2],
        gateway_enabled: true,
        status: v1::LocationStatus::AgentUnreachable.into(),
        gateway_url: "http://127.0.1.2:8080".to_owned(),
        configuration: 5,
        unreachable_agents: vec![v1::UnreachableAgent {
            agent: "eastus-1".to_owned(),
            silence: Some(silence(true)),
        }],
        ..Default::default()
    };
    let response = v1::ListLocationsResponse {
        locations: vec![location.clone()],
        observer: observer(),
        ..Default::default()
    };
    assert_eq!(
        printed(&LocationView::list(response)[0]),
        r#"{"region":"eastus","displayName":"East US","primary":false,"units":2,"readyUnits":0,"unknownUnits":1,"zones":[1,2],"gatewayEnabled":true,"priority":0,"weight":0,"status":"agentUnreachable","offlineSince":null,"gatewayUrl":"http://127.0.1.2:8080","configuration":5,"converged":false,"blockedReason":null,"unreachableAgents":[{"agent":"eastus-1","silence":{"ms":12000,"atLeast":true}}],"observer":{"agent":"westeurope-1","leader":true}}"#
    );
    location.gateway_url.clear();
    location.blocked_reason = "no agent in zone 2 takes units".to_owned();
    location.configuration = 0;
    location.unreachable_agents.clear();
    location.set_status(v1::LocationStatus::NoAgent);
    let printed = printed(&LocationView::from(location));
    assert!(
        printed.ends_with(
            r#""status":"noAgent","offlineSince":null,"gatewayUrl":null,"configuration":null,"converged":false,"blockedReason":"no agent in zone 2 takes units","unreachableAgents":[],"observer":null}"#
        ),
        "{printed}"
    );
}

#[test]
fn a_status_has_words_for_people_and_a_stable_key_for_programs() {
    let listed = glossary("location");
    for (status, words, key) in [
        (StatusWord::Ready, "ready", "ready"),
        (StatusWord::Converging, "converging", "converging"),
        (StatusWord::NoAgent, "no agent", "noAgent"),
        (StatusWord::Degraded, "degraded", "degraded"),
        (StatusWord::Offline, "offline", "offline"),
        (StatusWord::Unmanaged, "unmanaged", "unmanaged"),
        (StatusWord::AgentUnreachable, "agent unreachable", "agentUnreachable"),
        (StatusWord::DrainingClients, "draining clients", "drainingClients"),
        (StatusWord::Disabled, "disabled", "disabled"),
        (StatusWord::Removing, "removing", "removing"),
        (StatusWord::Unknown, "unknown", "unknown"),
    ] {
        assert_eq!((status.as_str(), printed(&status)), (words, format!("{key:?}")));
        assert!(listed.contains(&words.to_owned()), "{words} is not in {listed:?}");
    }
    let listed = glossary("cluster");
    for health in [
        HealthWord::Healthy,
        HealthWord::Notice,
        HealthWord::ServiceUnavailable,
        HealthWord::Degraded,
        HealthWord::ChangesRefused,
        HealthWord::Unknown,
    ] {
        let words = health.as_str().to_owned();
        assert!(listed.contains(&words), "{words} is not in {listed:?}");
    }
}

/// The status words of one kind that the glossary lists.
fn glossary(kind: &str) -> Vec<String> {
    let text = include_str!("../../../../../docs/glossary.md");
    let table = text.split(&format!("| {kind} | meaning |\n")).nth(1).expect("has the table");
    let table = table.split("\n\n").next().unwrap_or_default();
    let words = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    words.flat_map(|words| words.split(", ")).map(str::to_owned).collect()
}

#[test]
fn a_unit_has_these_keys() {
    let mut unit = v1::Unit {
        unit: "contoso/eastus/1".to_owned(),
        incarnation: 14,
        service: "contoso".to_owned(),
        region: "eastus".to_owned(),
        agent: "eastus-1".to_owned(),
        state: "ready".to_owned(),
        reported_state: "ready".to_owned(),
        pid: Some(4711),
        address: "127.0.1.2:8080".to_owned(),
        in_flight: Some(3),
        utilization_permille: Some(250),
        configuration: 5,
        ..Default::default()
    };
    assert_eq!(
        printed(&UnitView::from(unit.clone())),
        r#"{"unit":"contoso/eastus/1","incarnation":14,"service":"contoso","region":"eastus","agent":"eastus-1","state":"ready","reportedState":"ready","unknownFor":null,"lostSince":null,"pid":4711,"address":"127.0.1.2:8080","cause":null,"restarts":0,"configuration":5,"inFlight":3,"utilization":0.25,"observer":null}"#
    );
    unit.state = "unknown".to_owned();
    (unit.pid, unit.configuration, unit.unknown_for) = (None, 0, Some(silence(false)));
    (unit.in_flight, unit.utilization_permille) = (None, None);
    let response =
        v1::ListUnitsResponse { units: vec![unit], observer: observer(), ..Default::default() };
    assert_eq!(
        printed(&UnitView::list(response)[0]),
        r#"{"unit":"contoso/eastus/1","incarnation":14,"service":"contoso","region":"eastus","agent":"eastus-1","state":"unknown","reportedState":"ready","unknownFor":{"ms":12000,"atLeast":false},"lostSince":null,"pid":null,"address":"127.0.1.2:8080","cause":null,"restarts":0,"configuration":null,"inFlight":null,"utilization":null,"observer":{"agent":"westeurope-1","leader":true}}"#
    );
}

#[test]
fn an_api_has_these_keys() {
    let own = |region: &str| v1::RegionalBackend {
        region: region.to_owned(),
        backend: format!("http://{region}"),
    };
    let mut api = v1::Api {
        name: "orders".to_owned(),
        path: "/orders".to_owned(),
        backend: "http://orders".to_owned(),
        regional_backends: vec![own("westus"), own("eastus")],
        connect_timeout_ms: Some(5_000),
        response_timeout_ms: Some(200),
        idle_timeout_ms: Some(60_000),
    };
    let view = ApiView::from(api.clone());
    assert_eq!(
        printed(&view),
        r#"{"name":"orders","path":"/orders","backend":"http://orders","regionalBackends":{"eastus":"http://eastus","westus":"http://westus"},"connectTimeoutMs":5000,"responseTimeoutMs":200,"idleTimeoutMs":60000}"#
    );
    api.regional_backends.clear();
    assert!(printed(&ApiView::from(api)).contains(r#""regionalBackends":{},"#));
}

#[test]
fn an_event_has_these_keys() {
    let keys = r#"{"revision":12,"time":"2026-11-18T11:06:40.007Z","actor":"ada@workstation","actorVerified":false,"reason":"more load","requestId":"ID","changeId":11,"type":"RegionAdded","data":{"region":"eastus","service":"contoso","units":2,"zones":[1,2]}}"#;
    assert_eq!(printed(&EventView::from(event())), keys.replace("ID", ID));
}

#[test]
fn an_event_of_the_cluster_itself_has_no_reason_and_no_request() {
    let event = v1::Event { revision: 1, r#type: "UnitReady".to_owned(), ..Default::default() };
    assert_eq!(
        printed(&EventView::from(event)),
        r#"{"revision":1,"time":null,"actor":"","actorVerified":false,"reason":null,"requestId":null,"changeId":0,"type":"UnitReady","data":{}}"#
    );
}

#[test]
fn a_change_has_these_keys() {
    let response = v1::ChangeResponse { revision: 12, base: 10, events: vec![], waits: vec![] };
    let context = v1::ChangeContext { request_id: ID.to_owned(), ..Default::default() };
    let keys =
        r#"{"revision":12,"base":10,"requestId":"ID","dryRun":false,"events":[],"waits":[]}"#;
    assert_eq!(printed(&ChangeView::new(response, context)), keys.replace("ID", ID));
}

#[test]
fn a_member_has_these_keys() {
    let member = v1::Member {
        id: "00000000000000ff".to_owned(),
        agent: "eastus-1".to_owned(),
        region: "eastus".to_owned(),
        address: "127.0.1.2:7400".to_owned(),
        role: "follower".to_owned(),
        voter: true,
        last_contact: Some(prost_types::Duration { seconds: 1, nanos: 250_000_000 }),
        ..Default::default()
    };
    let keys = r#"{"id":"00000000000000ff","agent":"eastus-1","region":"eastus","address":"127.0.1.2:7400","role":"follower","voter":true,"witness":false,"drained":false"#;
    assert_eq!(
        printed(&MemberView::from(member.clone())),
        format!(
            r#"{keys},"lastContactMs":1250,"silentForAtLeastMs":null,"next":null,"waitsFor":null}}"#
        )
    );
    let wait = v1::Wait {
        cause: "it waits".to_owned(),
        next_step: "start it".to_owned(),
        reason: "NO_RESPONSE".to_owned(),
        subject: "agents/eastus-1".to_owned(),
    };
    let waiting = MemberView::from(v1::Member {
        last_contact_is_bound: true,
        next: "loseVote".to_owned(),
        waits_for: Some(wait),
        ..member
    });
    assert_eq!(
        printed(&waiting),
        format!(
            r#"{keys},"lastContactMs":null,"silentForAtLeastMs":1250,"next":"loseVote","waitsFor":{{"reason":"NO_RESPONSE","subject":"agents/eastus-1","cause":"it waits","nextStep":"start it"}}}}"#
        )
    );
}

#[test]
fn the_status_has_these_keys() {
    let agent = v1::AgentStatus {
        name: "eastus-1".to_owned(),
        region: "eastus".to_owned(),
        revision: Some(12),
        state_hash: "ab".repeat(32),
        lag: Some(prost_types::Duration { seconds: 0, nanos: 3_000_000 }),
        reachable: true,
        ..Default::default()
    };
    let status = v1::GetStatusResponse {
        cluster_id: ID.to_owned(),
        contacted: "eastus-1".to_owned(),
        agents: vec![agent],
        warnings: vec![v1::Warning {
            reason: "FEW_VOTERS".to_owned(),
            severity: v1::Severity::Notice.into(),
            message: "2 voters".to_owned(),
            ..Default::default()
        }],
        observer: observer(),
        health: v1::Health::Healthy.into(),
        data_version: 1,
        ..Default::default()
    };
    let keys = r#"{"health":"healthy","clusterId":"ID","epoch":0,"contacted":"eastus-1","leader":null,"observer":{"agent":"westeurope-1","leader":true},"dataVersion":1,"agents":[{"name":"eastus-1","region":"eastus","revision":12,"stateHash":"HASH","lagMs":3,"reachable":true,"silence":null,"witness":false,"drained":false}],"warnings":[{"reason":"FEW_VOTERS","severity":"notice","message":"2 voters","nextStep":null,"subject":null}]}"#;
    let keys = keys.replace("ID", ID).replace("HASH", &"ab".repeat(32));
    assert_eq!(printed(&StatusView::from(status)), keys);
}

#[test]
fn regions_limits_leaders_and_snapshots_have_these_keys() {
    let region = v1::Region {
        name: "eastus".to_owned(),
        display_name: "East US".to_owned(),
        latitude: 37.3719,
        longitude: -79.8164,
        agents: 1,
        custom: false,
    };
    assert_eq!(
        printed(&RegionView::from(region)),
        r#"{"region":"eastus","displayName":"East US","latitude":37.3719,"longitude":-79.8164,"agents":1,"custom":false}"#
    );
    assert_eq!(
        printed(&LimitsView::from(v1::Limits::default())),
        r#"{"developerUnits":0,"basicUnits":0,"standardUnits":0,"premiumUnits":0,"voters":0}"#
    );
    assert_eq!(printed(&LeaderView { leader: "a".to_owned() }), r#"{"leader":"a"}"#);
    assert_eq!(
        printed(&SnapshotView { revision: 7, endpoint: "a:1".to_owned() }),
        r#"{"revision":7,"endpoint":"a:1"}"#
    );
}
