//! APIs, the configuration of units, and rolls.

use meridian_proto::convert::json;
use meridian_proto::v1;
use meridian_proto::v1::LocationStatus;
use meridian_proto::v1::edit::Edit;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{World, context, fields, rejections, types};

fn api(name: &str, path: &str) -> v1::Api {
    v1::Api {
        name: name.to_owned(),
        path: path.to_owned(),
        backend: "http://orders.internal".to_owned(),
        ..v1::Api::default()
    }
}

fn publish(name: &str, path: &str) -> Edit {
    Edit::PublishApi(api(name, path))
}

async fn apis(world: &mut World, service: &str) -> Result<v1::ListApisResponse, Status> {
    let request = v1::ListApisRequest { consistency: 0, service: service.to_owned() };
    world.services.list_apis(request).await.map(tonic::Response::into_inner)
}

async fn roll(world: &mut World, region: &str) -> Result<v1::ChangeResponse, Status> {
    let (service, region) = ("contoso".to_owned(), region.to_owned());
    let request = v1::RollUnitsRequest { context: context(), service, region };
    world.services.roll_units(request).await.map(tonic::Response::into_inner)
}

async fn eastus(world: &mut World) -> v1::Location {
    let request = v1::ListLocationsRequest::default();
    let list = world.services.list_locations(request).await.expect("is listed").into_inner();
    list.locations.into_iter().find(|location| location.region == "eastus").expect("is there")
}

async fn units(world: &mut World) -> Vec<v1::Unit> {
    let request = v1::ListUnitsRequest::default();
    world.services.list_units(request).await.expect("is listed").into_inner().units
}

async fn configuration(world: &mut World) -> u64 {
    let request = v1::ListServicesRequest::default();
    let list = world.services.list_services(request).await.expect("is listed").into_inner();
    list.services[0].configuration
}

#[tokio::test]
async fn apis_are_listed_by_name_with_all_fields() {
    let mut world = World::with_contoso().await;
    assert!(apis(&mut world, "").await.expect("is listed").apis.is_empty());
    let regional =
        v1::RegionalBackend { region: "East US".to_owned(), backend: "http://[::1]:99".to_owned() };
    let orders = v1::Api {
        regional_backends: vec![regional],
        response_timeout_ms: Some(200),
        ..api("orders", "//orders/")
    };
    let published = world.edit(vec![Edit::PublishApi(orders), publish("all", "/")]).await;
    let published = published.expect("is published");
    assert_eq!(types(&published.events), ["ApiPublished", "ApiPublished"]);

    let list = apis(&mut world, "contoso").await.expect("is listed");
    assert_eq!((list.service.as_str(), list.service_revision), ("contoso", published.revision));
    assert_eq!(list.read_point.expect("has one").revision, world.fake.revision());
    let [all, orders] = list.apis.as_slice() else { panic!("there are two: {:?}", list.apis) };
    assert_eq!((all.name.as_str(), all.path.as_str()), ("all", "/"));
    assert_eq!((orders.name.as_str(), orders.path.as_str()), ("orders", "/orders"));
    assert_eq!(orders.regional_backends[0].region, "eastus");
    let timeouts = [orders.connect_timeout_ms, orders.response_timeout_ms, orders.idle_timeout_ms];
    assert_eq!(timeouts, [Some(5_000), Some(200), Some(60_000)]);

    let removed = world.edit(vec![Edit::RemoveApi("all".to_owned())]).await.expect("is removed");
    assert_eq!(types(&removed.events), ["ApiRemoved"]);
    let left = apis(&mut world, "").await.expect("is listed").apis;
    assert_eq!(left.iter().map(|api| api.name.as_str()).collect::<Vec<_>>(), ["orders"]);

    let status = apis(&mut world, "contosso").await.expect_err("there is none");
    assert_eq!(
        (status.code(), rejections(&status).remove(0).as_str()),
        (Code::NotFound, "SERVICE_UNKNOWN")
    );
    world.create("fabrikam").await.expect("is created");
    assert_eq!(fields(&apis(&mut world, "").await.expect_err("there are two")), ["service"]);
}

#[tokio::test]
async fn an_unusable_api_is_rejected_with_its_rule() {
    let mut world = World::with_contoso().await;
    world.edit(vec![publish("orders", "/orders")]).await.expect("is published");
    let before = world.fake.revision();
    let round = v1::Api { backend: "http://127.0.1.2:8080".to_owned(), ..api("round", "/round") };
    let cases = [
        (
            vec![Edit::RemoveApi("odrers".to_owned())],
            Code::NotFound,
            "API_UNKNOWN",
            "services/contoso/apis/odrers",
        ),
        (vec![publish("more", "/orders/")], Code::FailedPrecondition, "PATH_TAKEN", "apis/more"),
        (
            vec![Edit::PublishApi(round)],
            Code::FailedPrecondition,
            "BACKEND_IS_GATEWAY",
            "apis/round",
        ),
        (
            vec![publish("a", "/a"), publish("a", "/b")],
            Code::FailedPrecondition,
            "DUPLICATE_API_EDIT",
            "apis/a",
        ),
    ];
    for (edits, code, rule, subject) in cases {
        let status = world.edit(edits.clone()).await.expect_err("is refused");
        assert_eq!(
            (status.code(), rejections(&status).remove(0).as_str()),
            (code, rule),
            "{edits:?}"
        );
        let failure = status.get_details_precondition_failure().expect("names the rejections");
        assert_eq!(failure.violations[0].subject, subject);
    }
    let secret = v1::Api { backend: "http://u:secret@a".to_owned(), ..api("x", "orders") };
    let status = world.edit(vec![Edit::PublishApi(secret)]).await.expect_err("is refused");
    assert_eq!(fields(&status), ["edits[0].publish_api.path", "edits[0].publish_api.backend"]);
    assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    assert_eq!(world.fake.revision(), before);
}

#[tokio::test]
async fn a_location_converges_until_all_its_units_serve_the_configuration() {
    let mut world = World::with_contoso().await;
    let first = configuration(&mut world).await;
    let settled = eastus(&mut world).await;
    assert_eq!((settled.status(), settled.configuration), (LocationStatus::Ready, first));

    let published = world.edit(vec![publish("orders", "/orders")]).await.expect("is published");
    assert_eq!(configuration(&mut world).await, published.revision);
    let behind = eastus(&mut world).await;
    assert_eq!((behind.status(), behind.ready_units), (LocationStatus::Converging, 2));
    assert_eq!(behind.configuration, first);
    assert!(units(&mut world).await.iter().all(|unit| unit.configuration == first));
    let status = world.cluster.get_status(v1::GetStatusRequest {}).await.expect("is returned");
    assert_eq!(status.get_ref().health(), v1::Health::Healthy);
    let message = "contoso in eastus: units are being replaced or reconfigured";
    let warnings = status.into_inner().warnings;
    let is_it =
        |warning: &v1::Warning| (&*warning.reason, &*warning.message) == ("ROLLING_OUT", message);
    assert!(warnings.iter().any(is_it), "{warnings:?}");

    world.fake.settle_first("b");
    let half = eastus(&mut world).await;
    assert_eq!((half.status(), half.configuration), (LocationStatus::Converging, first));
    world.fake.settle();
    let done = eastus(&mut world).await;
    assert_eq!((done.status(), done.configuration), (LocationStatus::Ready, published.revision));
    assert!(units(&mut world).await.iter().all(|unit| unit.configuration == published.revision));
}

#[tokio::test]
async fn a_location_without_a_ready_unit_serves_no_configuration() {
    let mut world = World::new().await;
    world.create("contoso").await.expect("is created");
    assert_eq!(units(&mut world).await[0].configuration, 0);
    let request = v1::ListLocationsRequest::default();
    let list = world.services.list_locations(request).await.expect("is listed").into_inner();
    assert_eq!((list.locations[0].ready_units, list.locations[0].configuration), (0, 0));
}

#[tokio::test]
async fn units_have_a_load_if_their_agent_reports_one() {
    let mut world = World::with_contoso().await;
    let ready = units(&mut world).await;
    let loads: Vec<_> = ready.iter().map(|u| (u.in_flight, u.utilization_permille)).collect();
    assert_eq!(loads, vec![(Some(3), Some(250)); ready.len()]);
    world.create("fabrikam").await.expect("is created");
    let starting = units(&mut world).await.into_iter().find(|unit| unit.service == "fabrikam");
    assert_eq!(starting.map(|unit| unit.utilization_permille), Some(None));
}

#[tokio::test]
async fn a_roll_converges_without_lowering_capacity() {
    let mut world = World::with_contoso().await;
    let rolled = roll(&mut world, "East US").await.expect("is started");
    assert_eq!(types(&rolled.events), ["RollStarted", "UnitAssigned"]);
    let data = json::from_struct(rolled.events[0].data.clone().expect("has data"));
    assert_eq!(data, json!({"service": "contoso", "region": "eastus"}));
    for step in 1..=2 {
        let location = eastus(&mut world).await;
        let seen = (location.status(), location.ready_units, location.units);
        assert_eq!(seen, (LocationStatus::Converging, 2, 2), "step {step}");
        world.fake.settle();
    }
    let location = eastus(&mut world).await;
    assert_eq!((location.status(), location.ready_units), (LocationStatus::Ready, 2));
    world.fake.settle();
    let units = units(&mut world).await;
    let old = |unit: &&v1::Unit| unit.region == "eastus" && unit.incarnation <= rolled.base;
    assert_eq!(units.len(), 3);
    assert_eq!(units.iter().filter(old).count(), 0, "{units:?}");
}

#[tokio::test]
async fn a_roll_is_validated_and_forecast_like_any_change() {
    let mut world = World::with_contoso().await;
    let before = world.fake.revision();
    let status = roll(&mut world, "japaneast").await.expect_err("is refused");
    assert_eq!(
        (status.code(), rejections(&status).remove(0).as_str()),
        (Code::NotFound, "REGION_ABSENT")
    );
    let invalid =
        v1::RollUnitsRequest { context: None, service: String::new(), region: "_".into() };
    let status = world.services.roll_units(invalid).await.expect_err("is refused");
    assert_eq!(fields(&status), ["context", "service", "region"]);
    let mut dry = context().expect("has one");
    dry.dry_run = true;
    let request = v1::RollUnitsRequest {
        context: Some(dry),
        service: "contoso".to_owned(),
        region: String::new(),
    };
    let forecast = world.services.roll_units(request).await.expect("is returned").into_inner();
    let wanted = ["RollStarted", "UnitAssigned", "RollStarted", "UnitAssigned"];
    assert_eq!(types(&forecast.events), wanted);
    assert_eq!(world.fake.revision(), before);
}
