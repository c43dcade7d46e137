//! The keys that programs rely on. A test that fails here breaks somebody's script.

use meridian_proto::convert::json;
use meridian_proto::v1;
use serde::Serialize;
use serde_json::json;

use super::*;
use crate::client::output::Row;

const ID: &str = "01932f5e-8b1a-7c3d-9e4f-0123456789ab";

fn printed(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("is JSON")
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
    };
    let view = ServiceView::from(service);
    let keys = r#"{"name":"contoso","tier":"premium","primary":"westeurope","port":8080,"units":3,"regions":["westeurope"],"revision":9,"configuration":5"#;
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
        ready_units: 1,
        zones: vec![1, 2],
        gateway_enabled: true,
        status: v1::LocationStatus::AgentUnreachable.into(),
        gateway_url: "http://127.0.1.2:8080".to_owned(),
        configuration: 5,
        ..Default::default()
    };
    assert_eq!(
        printed(&LocationView::from(location.clone())),
        r#"{"region":"eastus","displayName":"East US","primary":false,"units":2,"readyUnits":1,"zones":[1,2],"gatewayEnabled":true,"status":"agentUnreachable","gatewayUrl":"http://127.0.1.2:8080","configuration":5,"converged":false,"blockedReason":null}"#
    );
    location.gateway_url.clear();
    location.blocked_reason = "no agent in zone 2 takes units".to_owned();
    location.configuration = 0;
    location.set_status(v1::LocationStatus::NoAgent);
    let printed = printed(&LocationView::from(location));
    assert!(
        printed.ends_with(
            r#""status":"noAgent","gatewayUrl":null,"configuration":null,"converged":false,"blockedReason":"no agent in zone 2 takes units"}"#
        ),
        "{printed}"
    );
}

#[test]
fn the_words_for_a_status_are_the_same_for_people_and_programs() {
    for word in [
        StatusWord::Ready,
        StatusWord::Converging,
        StatusWord::NoAgent,
        StatusWord::AgentUnreachable,
        StatusWord::Disabled,
        StatusWord::Removing,
    ] {
        assert_eq!(printed(&word), format!("{:?}", word.as_str()));
    }
}

#[test]
fn a_unit_has_these_keys() {
    let unit = v1::Unit {
        unit: "contoso/eastus/1".to_owned(),
        incarnation: 14,
        service: "contoso".to_owned(),
        region: "eastus".to_owned(),
        agent: "eastus-1".to_owned(),
        state: "ready".to_owned(),
        pid: Some(4711),
        address: "127.0.1.2:8080".to_owned(),
        in_flight: Some(3),
        utilisation_permille: Some(250),
        configuration: 5,
        ..Default::default()
    };
    assert_eq!(
        printed(&UnitView::from(unit)),
        r#"{"unit":"contoso/eastus/1","incarnation":14,"service":"contoso","region":"eastus","agent":"eastus-1","state":"ready","pid":4711,"address":"127.0.1.2:8080","cause":null,"restarts":0,"configuration":5,"inFlight":3,"utilisation":0.25}"#
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
    assert_eq!(view.cells()[3], "eastus=http://eastus,westus=http://westus");
    api.regional_backends.clear();
    assert!(printed(&ApiView::from(api)).contains(r#""regionalBackends":{},"#));
}

#[test]
fn an_event_has_these_keys() {
    let keys = r#"{"revision":12,"time":"2026-11-18T11:06:40.007Z","actor":"ada@workstation","actorVerified":false,"reason":"more load","requestId":"ID","changeId":11,"type":"RegionAdded","data":{"region":"eastus","service":"contoso","units":2,"zones":[1,2]}}"#;
    assert_eq!(printed(&EventView::from(event())), keys.replace("ID", ID));
}

#[test]
fn an_event_without_a_request_has_null_for_reason_and_request() {
    let event = v1::Event { revision: 1, r#type: "UnitReady".to_owned(), ..Default::default() };
    assert_eq!(
        printed(&EventView::from(event)),
        r#"{"revision":1,"time":null,"actor":"","actorVerified":false,"reason":null,"requestId":null,"changeId":0,"type":"UnitReady","data":{}}"#
    );
}

#[test]
fn a_change_has_these_keys() {
    let answer = v1::ChangeResponse { revision: 12, base: 10, events: vec![], waits: vec![] };
    let context = v1::ChangeContext { request_id: ID.to_owned(), ..Default::default() };
    let keys =
        r#"{"revision":12,"base":10,"requestId":"ID","dryRun":false,"events":[],"waits":[]}"#;
    assert_eq!(printed(&ChangeView::new(answer, context)), keys.replace("ID", ID));
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
    let wait = v1::Wait { cause: "it waits".to_owned(), next_step: "start it".to_owned() };
    let waiting = MemberView::from(v1::Member {
        last_contact_is_bound: true,
        next: "loseVote".to_owned(),
        waits_for: Some(wait),
        ..member
    });
    assert_eq!(
        printed(&waiting),
        format!(
            r#"{keys},"lastContactMs":null,"silentForAtLeastMs":1250,"next":"loseVote","waitsFor":{{"cause":"it waits","nextStep":"start it"}}}}"#
        )
    );
    assert_eq!(waiting.cells()[8..], ["over 1250 ms", "loseVote, waits"]);
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
        answered_by: "eastus-1".to_owned(),
        agents: vec![agent],
        warnings: vec!["there are 2 voters".to_owned()],
        data_version: 1,
        ..Default::default()
    };
    let keys = r#"{"clusterId":"ID","answeredBy":"eastus-1","leader":null,"dataVersion":1,"agents":[{"name":"eastus-1","region":"eastus","revision":12,"stateHash":"HASH","lagMs":3,"reachable":true,"witness":false,"drained":false}],"warnings":["there are 2 voters"]}"#;
    let keys = keys.replace("ID", ID).replace("HASH", &"ab".repeat(32));
    assert_eq!(printed(&StatusView::from(status)), keys);
}

#[test]
fn the_catalogue_the_limits_and_the_rest_have_these_keys() {
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
