use meridian_domain::*;

use crate::world::*;

fn contoso() -> World {
    let mut world = World::contoso();
    world.saves([publish("orders", "/orders", "https://orders.internal")]);
    world
}

#[test]
fn apis_are_part_of_a_change_set_and_move_the_revisions_of_their_service() {
    let mut world = World::contoso();
    let before = world.service().revision;
    let events =
        world.saves([publish("orders", "/orders/", "http://orders.internal"), add("eastus", 2)]);
    assert_eq!(
        types(&events),
        ["RegionAdded", "ApiPublished", "UnitAssigned", "UnitAssigned"],
        "one save"
    );
    let published = world.service().revision;
    assert_eq!(published.0, before.0 + 3, "behind the first unit and the new location");
    assert_eq!((world.service().revision, world.service().configuration), (published, published));
    world.saves([scale("eastus", 1)]);
    assert_eq!(world.service().configuration, published, "capacity is not served");
    world.saves([Edit::Disable { region: region("eastus") }]);
    assert_eq!(world.service().configuration, world.service().revision);
}

#[test]
fn publishing_the_same_again_changes_nothing() {
    let mut world = contoso();
    let again = world.saves([publish("orders", "/orders", "https://orders.internal")]);
    assert_eq!(types(&again), Vec::<&str>::new());
    let moved = world.saves([publish("orders", "/v2/orders", "https://orders.internal")]);
    assert_eq!(types(&moved), ["ApiPublished"]);
}

#[test]
fn a_path_changes_hands_within_one_save() {
    let mut world = contoso();
    let removed = Edit::RemoveApi { api: api("orders", "/", "http://a").name };
    let events = world.saves([publish("stock", "/orders", "http://stock.internal"), removed]);
    assert_eq!(types(&events), ["ApiRemoved", "ApiPublished"]);
}

#[test]
fn every_fault_of_an_api_is_named() {
    let world = contoso();
    let mut bad = api("stock", "/orders", "http://127.0.1.2:8080/x");
    bad.timeouts.connect_ms = 0;
    bad.regional.insert(region("eastuss"), BackendUrl::new("http://a").expect("is a backend"));
    assert_eq!(
        world.refuses(change([Edit::PublishApi(bad)])),
        [
            "/orders is the path of the API orders already; stock needs another one",
            "stock: the connect time-out must be from 1 to 600000 ms, not 0",
            "there is no region eastuss; did you mean eastus, eastus2 or eastasia?",
            "stock: the backend http://127.0.1.2:8080 is the gateway of agent eastus: calls would \
             go round"
        ]
        .map(|sentence| sentence.replace("8080 is", "8080/x is"))
    );
    let unknown = Edit::RemoveApi { api: api("order", "/", "http://a").name };
    assert_eq!(
        world.refuses(change([unknown])),
        ["contoso has no API order; did you mean orders?"]
    );
    let twice = [publish("a", "/a", "http://a"), publish("a", "/b", "http://a")];
    assert_eq!(
        world.refuses(change(twice)),
        ["the API a is edited more than once in one change set"]
    );
}

#[test]
fn a_deleted_service_takes_its_apis_with_it() {
    let mut world = contoso();
    world.does(Command::DeleteService { service: service("contoso"), expected: None });
    assert!(world.state.apis.is_empty());
    world.does(create("contoso", Tier::Premium, "eastus"));
    assert_eq!(world.state.apis_of(&service("contoso")).count(), 0);
}

#[test]
fn a_location_serves_the_apis_with_its_own_backends() {
    let mut world = World::contoso();
    let mut orders = api("orders", "/orders", "http://orders.internal");
    let local = BackendUrl::new("http://orders.eastus.internal").expect("is a backend");
    orders.regional.insert(region("eastus"), local.clone());
    world.saves([Edit::PublishApi(orders), add("eastus", 1)]);
    world.saves([Edit::Disable { region: region("eastus") }]);
    let of = |place| Configuration::of(&world.state, &service("contoso"), &region(place));
    let (west, east) = (of("westeurope"), of("eastus"));
    assert_eq!((west.revision, west.enabled), (world.service().configuration, true));
    assert_eq!(west.apis[0].backend.as_str(), "http://orders.internal");
    assert_eq!((east.apis[0].backend.clone(), east.enabled), (local, false));
    assert!(!of("southeastasia").enabled, "a location that is not there serves nobody");
}
