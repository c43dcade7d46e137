use meridian_domain::*;

use crate::world::*;

fn contoso() -> World {
    let mut world = World::contoso();
    world.edit([publish("orders", "/orders", "https://orders.internal")]);
    world
}

#[test]
fn publishing_an_api_is_part_of_a_change_set_and_advances_the_revisions_of_the_service() {
    let mut world = World::contoso();
    let before = world.service().revision;
    let events =
        world.edit([publish("orders", "/orders/", "http://orders.internal"), add("eastus", 2)]);
    assert_eq!(
        types(&events),
        ["RegionAdded", "ApiPublished", "UnitAssigned", "UnitAssigned"],
        "one change set"
    );
    let published = world.service().revision;
    assert_eq!(published.0, before.0 + 3, "after the first unit and the new location");
    assert_eq!((world.service().revision, world.service().configuration), (published, published));
    world.edit([scale("eastus", 1)]);
    assert_eq!(
        world.service().configuration,
        published,
        "scaling does not change the configuration"
    );
    world.edit([Edit::Disable { region: region("eastus") }]);
    assert_eq!(world.service().configuration, world.service().revision);
}

#[test]
fn publishing_an_unchanged_api_changes_nothing() {
    let mut world = contoso();
    let again = world.edit([publish("orders", "/orders", "https://orders.internal")]);
    assert_eq!(types(&again), Vec::<&str>::new());
    let moved = world.edit([publish("orders", "/v2/orders", "https://orders.internal")]);
    assert_eq!(types(&moved), ["ApiPublished"]);
}

#[test]
fn one_change_set_can_move_a_path_to_another_api() {
    let mut world = contoso();
    let removed = Edit::RemoveApi { api: api("orders", "/", "http://a").name };
    let events = world.edit([publish("stock", "/orders", "http://stock.internal"), removed]);
    assert_eq!(types(&events), ["ApiRemoved", "ApiPublished"]);
}

#[test]
fn every_violation_of_an_api_is_listed() {
    let world = contoso();
    let mut bad = api("stock", "/orders", "http://127.0.1.2:8080/x");
    bad.timeouts.connect_ms = 0;
    bad.regional.insert(region("eastuss"), BackendUrl::new("http://a").expect("valid backend"));
    assert_eq!(
        world.rejections(change([Edit::PublishApi(bad)])),
        [
            "path /orders is already used by API orders; choose another path for stock",
            "API stock: connect timeout must be between 1 and 600000 ms, got 0",
            "region eastuss not found; did you mean eastus, eastus2 or eastasia?",
            "API stock: backend http://127.0.1.2:8080/x is the gateway of agent eastus; this would \
             create a forwarding loop"
        ]
    );
    let unknown = Edit::RemoveApi { api: api("order", "/", "http://a").name };
    assert_eq!(
        world.rejections(change([unknown])),
        ["service contoso has no API order; did you mean orders?"]
    );
    let twice = [publish("a", "/a", "http://a"), publish("a", "/b", "http://a")];
    assert_eq!(
        world.rejections(change(twice)),
        ["API a is edited more than once in one change set"]
    );
}

#[test]
fn deleting_a_service_deletes_its_apis() {
    let mut world = contoso();
    world.apply(Command::DeleteService { service: service("contoso"), expected: None });
    assert!(world.state.apis.is_empty());
    world.apply(create("contoso", Tier::Premium, "eastus"));
    assert_eq!(world.state.apis_of(&service("contoso")).count(), 0);
}

#[test]
fn a_location_has_the_apis_with_its_regional_backends() {
    let mut world = World::contoso();
    let mut orders = api("orders", "/orders", "http://orders.internal");
    let local = BackendUrl::new("http://orders.eastus.internal").expect("valid backend");
    orders.regional.insert(region("eastus"), local.clone());
    world.edit([Edit::PublishApi(orders), add("eastus", 1)]);
    world.edit([Edit::Disable { region: region("eastus") }]);
    let of = |place| Configuration::of(&world.state, &service("contoso"), &region(place));
    let (west, east) = (of("westeurope"), of("eastus"));
    assert_eq!((west.revision, west.enabled), (world.service().configuration, true));
    assert_eq!(west.apis[0].backend.as_str(), "http://orders.internal");
    assert_eq!((east.apis[0].backend.clone(), east.enabled), (local, false));
    assert!(!of("southeastasia").enabled, "a missing location is disabled");
}
