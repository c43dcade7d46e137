//! Order of the regions of a service for a client.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use meridian_domain::catalog;
use meridian_domain::reachability::Gateways;
use meridian_domain::routing::*;
use meridian_domain::*;

use crate::world::*;

fn near(place: &str) -> Client {
    Client { region: region(place), network: None }
}

fn from(place: &str, address: &str) -> Client {
    let address: IpAddr = address.parse().expect("an address");
    Client { region: region(place), network: Some(client_network(address)) }
}

/// Returns `contoso` with a ready unit in each of its three regions.
fn ready_in_three_regions() -> World {
    let mut world = World::contoso();
    world.edit([add("eastus", 1), add("southeastasia", 1)]);
    for agent in ["westeurope", "eastus", "southeastasia"] {
        world.report_all_ready(agent);
    }
    world
}

fn ordered(world: &World, client: &Client) -> Vec<String> {
    let order = order(&world.state, world.service(), client);
    order.candidates.iter().map(|candidate| candidate.region.to_string()).collect()
}

fn routed(world: &World, client: &Client) -> Vec<String> {
    let order = order(&world.state, world.service(), client);
    order.routed().map(|candidate| candidate.region.to_string()).collect()
}

#[test]
fn the_region_with_the_shortest_round_trip_is_first() {
    let world = ready_in_three_regions();
    for (place, expected) in [
        ("westeurope", ["westeurope", "eastus", "southeastasia"]),
        ("francecentral", ["westeurope", "eastus", "southeastasia"]),
        ("westus", ["eastus", "westeurope", "southeastasia"]),
        ("australiaeast", ["southeastasia", "eastus", "westeurope"]),
        // Without a published round trip: by distance.
        ("austriaeast", ["westeurope", "eastus", "southeastasia"]),
    ] {
        assert_eq!(ordered(&world, &near(place)), expected, "{place}");
    }
}

#[test]
fn a_round_trip_is_measured_or_published_or_estimated_and_the_same_both_ways() {
    let mut world = World::contoso();
    let trip = |world: &World, one: &str, other: &str| {
        let trip = round_trip(&world.state, &region(one), &region(other));
        assert_eq!(trip, round_trip(&world.state, &region(other), &region(one)), "{one} {other}");
        (trip.time.as_millis(), trip.source)
    };
    assert_eq!(trip(&world, "eastus", "eastus"), (0, RoundTripSource::SameRegion));
    assert_eq!(trip(&world, "eastus", "westeurope").1, RoundTripSource::Published);
    // 935 km.
    assert_eq!(trip(&world, "austriaeast", "westeurope"), (39, RoundTripSource::Distance));
    let measured = vec![(region("austriaeast"), 14_000), (region("eastus"), 83_000)];
    let events = world.apply(Command::RecordRoundTrips { from: region("westeurope"), measured });
    assert_eq!(events.len(), 1, "83 ms is about as published: {events:?}");
    assert_eq!(trip(&world, "westeurope", "austriaeast"), (14, RoundTripSource::Measured));
}

#[test]
fn a_round_trip_is_recorded_if_it_differs_by_a_fifth_and_five_milliseconds() {
    let world = World::contoso();
    let (from, to) = (region("westeurope"), region("eastus"));
    let known = round_trip(&world.state, &from, &to).time.as_micros() as u32;
    for (micros, recorded) in [
        (known, false),
        (known * 119 / 100, false),
        (known * 121 / 100, true),
        (known * 81 / 100, false),
        (known * 79 / 100, true),
    ] {
        let measured = vec![(to.clone(), micros)];
        let command = Command::RecordRoundTrips { from: from.clone(), measured };
        let events = decide(&world.state, &command).expect("is accepted");
        assert_eq!(!events.is_empty(), recorded, "{micros} instead of {known}");
    }
    // A difference of a fifth, but only 1 ms.
    let neighbors = (region("eastus"), vec![(region("eastus2"), 8_000)]);
    let command = Command::RecordRoundTrips { from: neighbors.0, measured: neighbors.1 };
    assert_eq!(decide(&world.state, &command), Ok(vec![]));
}

#[test]
fn the_nearest_region_by_time_differs_from_the_nearest_by_distance_for_fifteen_regions() {
    let published: BTreeMap<_, _> = catalog::regions()
        .iter()
        .map(|one| {
            let others = catalog::regions().iter().filter(|other| other.name != one.name);
            let known = others.filter(|it| catalog::round_trip(&one.name, &it.name).is_some());
            (&one.name, known.collect::<Vec<_>>())
        })
        .filter(|(_, known)| !known.is_empty())
        .collect();
    assert_eq!(published.len(), 51);
    let by_time = |one: &RegionName, other: &Region| catalog::round_trip(one, &other.name);
    let differs = |(one, others): &(&&RegionName, &Vec<&Region>)| {
        let here = catalog::region(one).expect("is in the catalog");
        let distance = |it: &Region| great_circle(here, it);
        let near = others.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let near = near.map(|near| by_time(one, near));
        near != others.iter().map(|other| by_time(one, other)).min()
    };
    assert_eq!(published.iter().filter(differs).count(), 15);
}

/// Returns the angle between two regions, by the spherical law of cosines.
fn great_circle(one: &Region, other: &Region) -> f64 {
    let radians = |micros: i32| (f64::from(micros) / 1e6).to_radians();
    let (a, b) = (radians(one.latitude_microdegrees), radians(other.latitude_microdegrees));
    let difference = radians(one.longitude_microdegrees - other.longitude_microdegrees);
    (a.sin() * b.sin() + a.cos() * b.cos() * difference.cos()).min(1.0).acos()
}

#[test]
fn a_client_is_in_the_closest_region_the_first_by_name_among_equals() {
    let mut world = World::contoso();
    for (latitude, longitude, expected) in [
        (48.85, 2.35, "belgiumcentral"),
        (52.5, 13.4, "germanynorth"),
        (40.7, -74.0, "canadacentral"),
        (-33.9, 151.2, "australiaeast"),
        (-35.3, 149.1, "australiacentral"),
        (0.0, 179.9, "newzealandnorth"),
        (-89.0, 0.0, "australiasoutheast"),
    ] {
        let closest = closest_region(&world.state, latitude, longitude);
        assert_eq!(closest.name.as_str(), expected, "{latitude},{longitude}");
    }
    let lab = Region {
        name: region("lab"),
        display_name: "Lab".to_owned(),
        latitude_microdegrees: 48_800_000,
        longitude_microdegrees: 2_300_000,
    };
    world.apply(Command::DefineRegion { region: lab });
    assert_eq!(closest_region(&world.state, 48.85, 2.35).name.as_str(), "lab");
}

#[test]
fn regions_that_do_not_serve_are_last_and_get_clients_only_if_none_serves() {
    let mut world = ready_in_three_regions();
    let client = near("westeurope");
    world.edit([Edit::Disable { region: region("westeurope") }]);
    assert_eq!(routed(&world, &client), ["eastus", "southeastasia"]);
    assert_eq!(ordered(&world, &client), ["eastus", "southeastasia", "westeurope"]);
    world.lose("eastus", Gateways::All);
    assert_eq!(routed(&world, &client), ["southeastasia"]);
    world.lose("southeastasia", Gateways::Of(service("contoso")));
    let order = order(&world.state, world.service(), &client);
    assert!(order.is_last_resort());
    assert_eq!(routed(&world, &client), ["eastus", "southeastasia"]);
    for disabled in ["eastus", "southeastasia"] {
        world.edit([Edit::Disable { region: region(disabled) }]);
    }
    assert_eq!(routed(&world, &client), [""; 0], "no gateway is enabled");
}

#[test]
fn the_availability_of_a_region_has_a_reason() {
    let mut world = ready_in_three_regions();
    world.edit([add("japaneast", 1)]);
    world.edit([scale("eastus", 2)]);
    let availability = |world: &World, place: &str| {
        let order = order(&world.state, world.service(), &near("westeurope"));
        let found = order.candidates.into_iter().find(|it| it.region == region(place));
        found.expect("is a region of the service").availability
    };
    assert_eq!(availability(&world, "eastus"), Availability::Serving { ready_units: 1 });
    assert_eq!(availability(&world, "japaneast"), Availability::NoAgent);
    world.lose("eastus", Gateways::All);
    assert_eq!(availability(&world, "eastus"), Availability::Lost { since: Timestamp(0) });
    world.edit([add("swedencentral", 1)]);
    world.apply(Command::RegisterAgent(agent("sweden", 9, "swedencentral")));
    assert_eq!(availability(&world, "swedencentral"), Availability::NoReadyUnit);
    world.edit([Edit::Disable { region: region("swedencentral") }]);
    assert_eq!(availability(&world, "swedencentral"), Availability::Disabled);
}

#[test]
fn the_lowest_priority_is_first_and_the_round_trip_decides_among_equals() {
    let mut world = ready_in_three_regions();
    let prefer = |place, priority| Edit::Prefer {
        region: region(place),
        priority: Some(priority),
        weight: None,
    };
    world.edit([
        Edit::Routing(RoutingPolicy::Priority),
        prefer("westeurope", 2),
        prefer("southeastasia", 2),
    ]);
    assert_eq!(ordered(&world, &near("westeurope")), ["eastus", "westeurope", "southeastasia"]);
    assert_eq!(ordered(&world, &near("japaneast")), ["eastus", "southeastasia", "westeurope"]);
}

/// Returns how many of 10,000 networks are sent to each region first.
fn shares(world: &World) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    for number in 0..10_000_u32 {
        let address = format!("10.{}.{}.9", number / 100, number % 100);
        let first = routed(world, &from("westeurope", &address)).swap_remove(0);
        *shares.entry(first).or_default() += 1;
    }
    shares
}

fn weigh(place: &str, weight: u16) -> Edit {
    Edit::Prefer { region: region(place), priority: None, weight: Some(weight) }
}

#[test]
fn clients_are_spread_in_proportion_to_the_weights_and_stay() {
    let mut world = ready_in_three_regions();
    world.edit([
        Edit::Routing(RoutingPolicy::Weighted),
        weigh("westeurope", 50),
        weigh("eastus", 30),
        weigh("southeastasia", 20),
    ]);
    let before = shares(&world);
    for (place, expected) in [("westeurope", 5_000), ("eastus", 3_000), ("southeastasia", 2_000)] {
        assert!(before[place].abs_diff(expected) < 200, "{place}: {}", before[place]);
    }
    let client = |number: u32| from("westeurope", &format!("10.0.{number}.9"));
    let first = |world: &World, number| routed(world, &client(number)).swap_remove(0);
    let regions: Vec<_> = (0..250).map(|number| first(&world, number)).collect();
    world.lose("eastus", Gateways::All);
    for (number, before) in (0..250).zip(&regions) {
        let now = first(&world, number);
        assert!(now == *before || before == "eastus", "{number} moved from {before} to {now}");
    }
}

#[test]
fn a_region_with_weight_0_serves_only_if_no_other_one_does() {
    let mut world = ready_in_three_regions();
    world.edit([
        Edit::Routing(RoutingPolicy::Weighted),
        weigh("westeurope", 0),
        weigh("southeastasia", 0),
    ]);
    assert_eq!(shares(&world), BTreeMap::from([("eastus".to_owned(), 10_000)]));
    world.lose("eastus", Gateways::All);
    assert_eq!(shares(&world), BTreeMap::from([("westeurope".to_owned(), 10_000)]));
}

/// The hash must never change: clients of agents with different versions would move.
#[test]
fn the_hash_of_a_network_is_fixed() {
    let mut world = ready_in_three_regions();
    world.edit([Edit::Routing(RoutingPolicy::Weighted)]);
    let orders = ["192.0.2.0", "198.51.100.0", "203.0.113.0", "2001:db8::", "2001:db8:0:100::"];
    let orders = orders.map(|address| ordered(&world, &from("westeurope", address)).join(" "));
    assert_eq!(orders, GOLDEN);
}

const GOLDEN: [&str; 5] = [
    "southeastasia eastus westeurope",
    "southeastasia westeurope eastus",
    "southeastasia westeurope eastus",
    "southeastasia eastus westeurope",
    "eastus southeastasia westeurope",
];

#[test]
fn a_network_is_a_prefix_of_an_address() {
    for (address, network) in [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"),
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(client_network(address).to_string(), network);
    }
}

#[test]
fn a_forecast_names_the_clients_that_move_and_the_time_that_it_costs_them() {
    let world = ready_in_three_regions();
    let lost = |regions: &[&str]| {
        let lost = regions.iter().map(|name| region(name)).collect();
        forecast(&world.state, world.service(), &lost)
    };
    let moves = lost(&["westeurope"]);
    let to = |name: &str| moves.iter().find(|it| it.to.as_ref() == Some(&region(name)));
    let to_us = to("eastus").expect("most clients in Europe move to eastus");
    assert!(to_us.client_regions.contains(&region("northeurope")));
    let (min, max) = to_us.added.expect("there is a destination");
    assert!(min < max && max < Duration::from_millis(120), "{min:?} {max:?}");
    let all = lost(&["westeurope", "eastus", "southeastasia"]);
    assert!(all.iter().all(|it| it.to.is_none() && it.added.is_none()));
    let clients: usize = all.iter().map(|it| it.client_regions.len()).sum();
    assert_eq!(clients, 59, "every client loses its region");
}

#[test]
fn clients_connect_to_ready_units_that_are_not_lost() {
    let mut world = World::contoso();
    let at = |world: &World| -> Vec<_> {
        let west = region("westeurope");
        let found = gateways(&world.state, world.service(), &west);
        found.iter().map(|it| format!("{}:{}", it.agent.description.name, it.port)).collect()
    };
    world.apply(Command::RegisterAgent(agent("second", 8, "westeurope")));
    assert_eq!(at(&world), ["second:8080", "westeurope:8080"], "none is ready: all that could be");
    world.edit([scale("westeurope", 2)]);
    for name in ["westeurope", "second"] {
        world.report_all_ready(name);
    }
    world.lose("second", Gateways::All);
    assert_eq!(at(&world), ["westeurope:8080"]);
    world.lose("westeurope", Gateways::All);
    assert_eq!(at(&world), ["second:8080", "westeurope:8080"], "all are lost: the last resort");
    world.edit([add("eastus", 1), Edit::Disable { region: region("westeurope") }]);
    assert_eq!(at(&world), [""; 0]);
}
