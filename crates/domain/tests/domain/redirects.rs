//! Targets to which disabled gateways redirect clients.

use meridian_domain::reachability::Gateways;
use meridian_domain::routing::RedirectTarget;
use meridian_domain::*;

use crate::world::*;

/// Returns `contoso` with a ready unit in each of its three regions, of which `westeurope` is disabled
/// and redirects, and the zone `gateways.example.net`.
fn redirecting() -> World {
    let mut world = World::contoso();
    world.edit([add("eastus", 1), add("southeastasia", 1)]);
    for agent in ["westeurope", "eastus", "southeastasia"] {
        world.report_all_ready(agent);
    }
    set_zone(&mut world, Some("gateways.example.net"));
    world.edit([Edit::WhenDisabled(WhenDisabled::Redirect), disable("westeurope")]);
    world
}

fn set_zone(world: &mut World, zone: Option<&str>) {
    let zone = zone.map(|zone| zone.parse().expect("valid zone"));
    world.apply(Command::SetDns { settings: DnsSettings { zone, ..DnsSettings::default() } });
}

fn disable(place: &str) -> Edit {
    Edit::Disable { region: region(place) }
}

/// Returns the target of the gateways of a region, as in their configuration.
fn target(world: &World, place: &str) -> Option<String> {
    let configuration = Configuration::of(&world.state, &service("contoso"), &region(place));
    configuration.redirect.as_ref().map(RedirectTarget::to_string)
}

#[test]
fn the_target_is_the_name_of_the_next_closest_region_that_serves() {
    let mut world = redirecting();
    let expected =
        |place: &str| Some(format!("{place}.contoso.regional.gateways.example.net:8080"));
    let before = world.service().configuration;
    assert_eq!(target(&world, "westeurope"), expected("eastus"));
    world.lose("eastus", Gateways::All);
    assert_eq!(target(&world, "westeurope"), expected("southeastasia"));
    assert_eq!(world.service().configuration, before, "it changes at the same revision");
    world.lose("southeastasia", Gateways::All);
    assert_eq!(target(&world, "westeurope"), None, "a last resort is no target");
}

#[test]
fn the_target_follows_the_zone_and_the_port() {
    let mut world = redirecting();
    world.edit([Edit::Port(9_000)]);
    set_zone(&mut world, Some("example.org"));
    let moved = "eastus.contoso.regional.example.org:9000".to_owned();
    assert_eq!(target(&world, "westeurope"), Some(moved));
    set_zone(&mut world, None);
    assert_eq!(target(&world, "westeurope"), None);
}

#[test]
fn the_target_is_seen_from_the_disabled_region_and_never_disabled_itself() {
    let mut world = redirecting();
    let region_of = |world: &World, place| {
        let target = target(world, place).expect("redirects");
        target.split('.').next().expect("has labels").to_owned()
    };
    world.edit([disable("southeastasia")]);
    assert_eq!(region_of(&world, "westeurope"), "eastus");
    assert_eq!(region_of(&world, "southeastasia"), "eastus");
    world.edit([Edit::Enable { region: region("westeurope") }, disable("eastus")]);
    assert_eq!(region_of(&world, "eastus"), "westeurope");
    world.edit([disable("westeurope")]);
    for place in ["westeurope", "eastus", "southeastasia"] {
        assert_eq!(target(&world, place), None, "{place}");
    }
}

#[test]
fn the_routing_policy_chooses_the_target() {
    let mut world = redirecting();
    let priority = Some(2);
    let second = Edit::Prefer { region: region("eastus"), priority, weight: None };
    world.edit([Edit::Routing(RoutingPolicy::Priority), second]);
    let target = target(&world, "westeurope").expect("redirects");
    assert!(target.starts_with("southeastasia."), "{target}");
}

#[test]
fn only_disabled_gateways_of_a_service_that_redirects_have_a_target() {
    let mut world = redirecting();
    assert_eq!(target(&world, "eastus"), None, "it is enabled");
    assert_eq!(target(&world, "japaneast"), None, "it is no location");
    world.edit([Edit::WhenDisabled(WhenDisabled::Refuse)]);
    assert_eq!(target(&world, "westeurope"), None);
}
