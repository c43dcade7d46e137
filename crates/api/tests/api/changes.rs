//! Changes.

use std::time::Duration;

use meridian_proto::convert::json;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use serde_json::json;

use crate::harness::{World, add, change, context, fields, scale, types};

#[tokio::test]
async fn a_change_returns_its_own_events() {
    let mut world = World::new().await;
    let base = world.fake.revision();
    let created = world.create("contoso").await.expect("is created");
    assert_eq!(created.base, base);
    assert_eq!(types(&created.events), ["ServiceCreated", "RegionAdded", "UnitAssigned"]);
    assert_eq!(created.revision, base + 3);
    let first = &created.events[0];
    assert_eq!((first.revision, first.change_id), (base + 1, base + 1));
    assert_eq!((first.actor.as_str(), first.reason.as_str()), ("ada@workstation", "more load"));
    assert!(!first.actor_verified && first.time.is_some());
    let data = json::from_struct(created.events[1].data.clone().expect("has data"));
    let expected = json!({
        "service": "contoso", "region": "westeurope", "units": 1, "zones": [],
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn a_retried_request_gets_the_response_of_the_first() {
    let mut world = World::with_contoso().await;
    let request = change(vec![scale("eastus", 3)]);
    let first = world.change(request.clone()).await.expect("is changed");
    world.edit(vec![scale("eastus", 1)]).await.expect("is changed");
    assert_eq!(world.change(request).await.expect("is returned"), first);
}

#[tokio::test]
async fn a_change_without_effect_has_no_events() {
    let mut world = World::with_contoso().await;
    let response = world.edit(vec![scale("eastus", 2)]).await.expect("is accepted");
    assert_eq!(response.revision, response.base);
    assert!(response.events.is_empty());
}

#[tokio::test]
async fn units_in_a_region_without_an_agent_wait_for_one() {
    let mut world = World::with_contoso().await;
    let edits = vec![add("Japan East", 1), scale("eastus", 3)];
    let mut dry = change(edits.clone());
    let context = dry.context.as_mut().expect("has one");
    context.dry_run = true;
    context.request_id.clear();
    let forecast = world.change(dry).await.expect("is answered").waits;
    let waits = world.edit(edits).await.expect("is changed").waits;
    assert_eq!(forecast, waits, "a dry run has the same warnings");
    let [wait] = &waits[..] else { panic!("{waits:?}") };
    assert_eq!(wait.cause, "no agent in japaneast takes units: they start once one does");
    assert!(wait.next_step.contains("join an agent in japaneast"), "{wait:?}");
    assert_eq!((wait.reason.as_str(), wait.subject.as_str()), ("NO_AGENT", "regions/japaneast"));
}

#[tokio::test]
async fn every_kind_of_edit_reaches_the_domain() {
    let mut world = World::with_contoso().await;
    let region = |name: &str| name.to_owned();
    let set = |region: &str, units| Edit::Set(v1::SetRegion { region: region.to_owned(), units });
    let zones = |zones| {
        let zones = Some(v1::Zones { zones });
        Edit::Scale(v1::ScaleRegion { region: region("japaneast"), units: None, zones })
    };
    let cases = [
        (add("southeastasia", 1), "RegionAdded"),
        (scale("southeastasia", 2), "UnitsScaled"),
        (set("southeastasia", 3), "UnitsScaled"),
        (set("japaneast", 1), "RegionAdded"),
        (zones(vec![1]), "ZonesChanged"),
        (Edit::Promote(region("East US")), "PrimaryPromoted"),
        (Edit::Disable(region("westeurope")), "GatewayDisabled"),
        (Edit::Enable(region("westeurope")), "GatewayEnabled"),
        (Edit::Remove(region("westeurope")), "RegionRemoved"),
        (Edit::WhenDisabled("redirect".to_owned()), "WhenDisabledChanged"),
        (Edit::Port(9090), "PortChanged"),
    ];
    for (edit, event) in cases {
        let changed = world.edit(vec![edit.clone()]).await.expect("is accepted");
        assert_eq!(types(&changed.events).first(), Some(&event), "{edit:?}");
    }
    let alone = ["eastus", "southeastasia", "japaneast"].map(|name| Edit::Remove(region(name)));
    let alone = alone.into_iter().skip(1).chain([Edit::Tier("standard".to_owned())]).collect();
    let changed = world.edit(alone).await.expect("is accepted");
    assert!(types(&changed.events).contains(&"TierChanged"));
}

#[tokio::test]
async fn a_service_is_created_with_redirects_and_lists_them() {
    let mut world = World::new().await;
    let mut request = v1::CreateServiceRequest {
        context: context(),
        service: "contoso".to_owned(),
        tier: "premium".to_owned(),
        primary: "westeurope".to_owned(),
        port: None,
        when_disabled: Some("drop".to_owned()),
    };
    let refused = world.services.create_service(request.clone()).await.expect_err("is refused");
    assert_eq!(fields(&refused), ["when_disabled"]);
    request.when_disabled = Some("redirect".to_owned());
    world.services.create_service(request).await.expect("is created");
    let list = world.services.list_services(v1::ListServicesRequest::default()).await;
    let list = list.expect("is listed").into_inner();
    assert_eq!(list.services[0].when_disabled, "redirect");
}

#[tokio::test]
async fn a_dry_run_returns_the_events_that_would_happen_and_changes_nothing() {
    let mut world = World::with_contoso().await;
    let before = world.fake.revision();
    let mut request = change(vec![add("southeastasia", 2)]);
    let context = request.context.as_mut().expect("has one");
    context.dry_run = true;
    context.request_id.clear();
    let forecast = world.change(request).await.expect("is returned");
    assert_eq!(types(&forecast.events), ["RegionAdded", "UnitAssigned", "UnitAssigned"]);
    assert_eq!((forecast.base, forecast.revision), (before, before + 3));
    assert_eq!(forecast.events[2].revision, before + 3);
    assert!(forecast.events.iter().all(|event| event.time.is_none()));
    assert_eq!(world.fake.revision(), before);
    let happened = world.edit(vec![add("southeastasia", 2)]).await.expect("is changed");
    assert_eq!(types(&happened.events), types(&forecast.events));
    assert_eq!(happened.events[2].data, forecast.events[2].data);
}

#[tokio::test]
async fn a_lagging_agent_waits_for_the_events_and_responds_without_them_at_the_deadline() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.delivery = Duration::from_millis(200));
    let changed = world.edit(vec![scale("eastus", 3)]).await.expect("is changed");
    assert_eq!(types(&changed.events), ["UnitsScaled", "UnitAssigned"]);

    world.fake.set(|script| script.delivery = Duration::from_secs(3600));
    let mut request = tonic::Request::new(change(vec![scale("eastus", 2)]));
    request.set_timeout(Duration::from_millis(300));
    let changed = world.services.change_service(request).await.expect("is changed").into_inner();
    assert!(changed.revision > changed.base && changed.events.is_empty());
}

#[tokio::test]
async fn a_request_has_its_own_timeout_and_five_seconds_by_default() {
    let mut world = World::with_contoso().await;
    for (timeout, least, most) in [(None, 4, 5), (Some(20), 19, 20), (Some(600), 59, 60)] {
        let mut request = tonic::Request::new(change(vec![scale("eastus", 2)]));
        if let Some(seconds) = timeout {
            request.set_timeout(Duration::from_secs(seconds));
        }
        world.services.change_service(request).await.expect("is accepted");
        let left = world.fake.script.lock().expect("is whole").time_left.expect("was proposed");
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
        assert!(least < left && left < most, "timeout of {timeout:?} seconds left {left:?}");
    }
}

#[tokio::test]
async fn the_units_of_a_deleted_service_drain() {
    let mut world = World::with_contoso().await;
    let service = "contoso".to_owned();
    let request = v1::DeleteServiceRequest { context: context(), service, expected_revision: None };
    let deleted = world.services.delete_service(request).await.expect("is deleted").into_inner();
    assert!(types(&deleted.events).contains(&"ServiceDeleted"));
    let request = v1::ListUnitsRequest { consistency: 0, service: "contoso".to_owned() };
    let units = world.services.list_units(request).await.expect("is returned").into_inner().units;
    assert_eq!(units.len(), 3);
    assert!(units.iter().all(|unit| unit.state == "draining"), "{units:?}");
}
