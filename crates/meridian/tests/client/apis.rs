//! `meridian api` and `meridian unit roll`.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use tonic::Code;

use crate::fake::{Agent, Reply, status};
use crate::run::run;

const ID: &str = "01932f5e-8b1a-7c3d-9e4f-0123456789ab";

fn api(name: &str) -> v1::Api {
    v1::Api {
        name: name.to_owned(),
        path: format!("/{name}"),
        backend: format!("http://{name}.internal"),
        connect_timeout_ms: Some(5_000),
        response_timeout_ms: Some(30_000),
        idle_timeout_ms: Some(60_000),
        ..v1::Api::default()
    }
}

fn location(status: v1::LocationStatus, configuration: u64) -> v1::Location {
    v1::Location {
        region: "eastus".to_owned(),
        units: 2,
        ready_units: 2,
        status: status.into(),
        configuration,
        ..Default::default()
    }
}

#[tokio::test]
async fn an_api_is_published_with_its_arguments() {
    let agent = Agent::start([Reply::Done]).await;
    let line = "api publish orders --path //orders/ --backend http://a:1/x=1 \
                --backend eastus=https://b --connect-timeout 250ms --idle-timeout=2m \
                --reason trial --request-id";
    let words: Vec<&str> = line.split_whitespace().chain([ID]).collect();
    run(&agent.endpoints(), &words).await.exits(0);
    let (rpc, context) = agent.changes().remove(0);
    assert_eq!((rpc.as_str(), context.reason.as_str()), ("ChangeService", "trial"));
    assert_eq!(context.request_id, ID);
    let own = v1::RegionalBackend { region: "eastus".into(), backend: "https://b".into() };
    let expected = v1::Api {
        path: "/orders".to_owned(),
        backend: "http://a:1/x=1".to_owned(),
        regional_backends: vec![own],
        connect_timeout_ms: Some(250),
        response_timeout_ms: None,
        idle_timeout_ms: Some(120_000),
        ..api("orders")
    };
    assert_eq!(agent.edits(), [Edit::PublishApi(expected)]);
}

#[tokio::test]
async fn invalid_usage_sends_no_request() {
    let agent = Agent::start([Reply::Done]).await;
    for (line, text) in [
        ("api publish a --path /a --backend eastus=http://b", "no default backend"),
        ("api publish a --path /a --backend http://b --backend http://c", "2 default backends"),
        ("api publish a --path /a --backend ftp://b", "http://, https://, or h2c://"),
        ("api publish a --path /a --backend http://u:p@b", "must not contain a user"),
        ("api publish a --path /a/../b --backend http://b", "must not contain the segment"),
        ("api publish a --path /a --backend http://b --idle-timeout 11m", "whole milliseconds"),
        ("unit roll contoso --service fabrikam", "two services are named"),
        ("unit roll --expect-revision 3", "has no option --expect-revision"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let refused = run(&agent.endpoints(), &words).await;
        refused.exits(2);
        assert!(refused.err.contains(text), "{refused:?}");
    }
    assert_eq!(agent.changes().len(), 0);
}

#[tokio::test]
async fn apis_are_listed_and_shown() {
    let agent = Agent::start([]).await.with_apis([api("all"), api("orders")]);
    let listed = run(&agent.endpoints(), &["api", "list", "-o", "json"]).await;
    listed.exits(0);
    assert_eq!(listed.json()[1]["name"], "orders");
    let shown = run(&agent.endpoints(), &["api", "show", "orders", "-o", "json"]).await;
    shown.exits(0);
    assert_eq!(shown.json(), listed.json()[1]);
    let table = run(&agent.endpoints(), &["api", "show", "orders"]).await;
    assert_eq!(table.out.lines().count(), 2, "{table:?}");
    assert!(table.out.contains("orders  /orders  0         http://orders.internal"), "{table:?}");

    let unknown = run(&agent.endpoints(), &["api", "show", "odrers"]).await;
    unknown.exits(1);
    assert!(unknown.err.contains("contoso has no API odrers; did you mean orders?"), "{unknown:?}");
}

#[tokio::test]
async fn a_service_is_shown_with_its_apis() {
    let ready = location(v1::LocationStatus::Ready, 9);
    let agent = Agent::start([]).await.with_apis([api("orders")]).with_locations([ready]);
    let shown = run(&agent.endpoints(), &["service", "show", "contoso", "-ojson"]).await;
    shown.exits(0);
    assert_eq!(shown.json()["apis"][0]["path"], "/orders");
    assert_eq!(shown.json()["locations"][0]["configuration"], 9);
    let table = run(&agent.endpoints(), &["service", "show", "contoso"]).await;
    assert!(table.out.contains("/orders"), "{table:?}");
}

#[tokio::test]
async fn an_api_is_removed_after_confirmation() {
    let agent = Agent::start([Reply::Done]).await;
    let refused = run(&agent.endpoints(), &["api", "remove", "orders"]).await;
    refused.exits(2);
    assert!(refused.err.contains("remove API orders from contoso"), "{refused:?}");
    assert!(agent.changes().iter().all(|(_, context)| context.dry_run));
    run(&agent.endpoints(), &["api", "remove", "orders", "--yes"]).await.exits(0);
    assert_eq!(agent.edits().last(), Some(&Edit::RemoveApi("orders".to_owned())));
    let unknown = status(Code::NotFound, "REFUSED", "contoso has no API orders");
    let agent = Agent::start([Reply::Fail(unknown)]).await;
    run(&agent.endpoints(), &["api", "remove", "orders", "--yes"]).await.exits(1);
}

#[tokio::test]
async fn the_service_to_roll_may_be_an_operand_or_an_option() {
    let agent = Agent::start([Reply::Done]).await.with_services(&["contoso", "fabrikam"]);
    for line in [
        &["unit", "roll", "fabrikam"][..],
        &["unit", "roll", "--service", "fabrikam", "--region", "East US"],
        &["--service=fabrikam", "unit", "roll", "fabrikam"],
    ] {
        run(&agent.endpoints(), line).await.exits(0);
    }
    let everywhere = ("fabrikam".to_owned(), String::new());
    let in_one = ("fabrikam".to_owned(), "East US".to_owned());
    assert_eq!(agent.rolls(), [everywhere.clone(), in_one, everywhere]);
    let several = run(&agent.endpoints(), &["unit", "roll"]).await;
    several.exits(2);
    assert!(several.err.contains("contoso, fabrikam"), "{several:?}");

    let only = Agent::start([Reply::Done]).await;
    run(&only.endpoints(), &["unit", "roll", "--dry-run"]).await.exits(0);
    assert_eq!(only.rolls(), [("contoso".to_owned(), String::new())]);
    assert!(only.changes()[0].1.dry_run);
}

#[tokio::test]
async fn waiting_ends_when_all_units_serve_the_configuration() {
    let converging = location(v1::LocationStatus::Converging, 9);
    let ready = location(v1::LocationStatus::Ready, 12);
    let line = ["unit", "roll", "--wait", "--wait-timeout=1s"];
    let agent = Agent::start([Reply::Done]).await.with_locations([converging.clone(), ready]);
    run(&agent.endpoints(), &line).await.exits(0);

    let agent = Agent::start([Reply::Done]).await.with_locations([converging]);
    let late = run(&agent.endpoints(), &line).await;
    late.exits(6);
    assert!(late.err.contains("eastus: units are being replaced or reconfigured"), "{late:?}");
}

#[tokio::test]
async fn waiting_for_a_disabled_region_ends_when_its_units_have_converged() {
    let disabled = |converged| {
        let location = location(v1::LocationStatus::Disabled, 12);
        v1::Location { converged, ..location }
    };
    for line in [
        &["region", "disable", "eastus", "--yes", "--wait", "--wait-timeout=1s"][..],
        &["unit", "roll", "--wait", "--wait-timeout=1s"],
    ] {
        let agent = Agent::start([Reply::Done]).await;
        let agent = agent.with_locations([disabled(false), disabled(true)]);
        run(&agent.endpoints(), line).await.exits(0);
        let agent = Agent::start([Reply::Done]).await;
        run(&agent.with_locations([disabled(false)]).endpoints(), line).await.exits(6);
    }
}
