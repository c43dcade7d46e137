//! Routes of clients, forecasts, and the settings of the name servers.

use meridian_proto::v1;
use meridian_proto::v1::client_location::Location;
use meridian_proto::v1::edit::Edit;
use tonic::{Code, Status};

use crate::harness::{World, context, fields, rejections};

async fn route(
    world: &mut World,
    location: Option<Location>,
) -> Result<v1::GetRouteResponse, Status> {
    let client = Some(v1::ClientLocation { location });
    let request = v1::GetRouteRequest { client, ..v1::GetRouteRequest::default() };
    world.routing.get_route(request).await.map(tonic::Response::into_inner)
}

fn near(region: &str) -> Option<Location> {
    Some(Location::Region(region.to_owned()))
}

fn regions(route: &v1::GetRouteResponse) -> Vec<(&str, &str, bool)> {
    let regions = route.regions.iter();
    regions.map(|it| (it.region.as_str(), it.availability.as_str(), it.routed)).collect()
}

#[tokio::test]
async fn a_route_lists_the_regions_in_order_with_their_reasons() {
    let mut world = World::with_contoso().await;
    let found = route(&mut world, near("westus")).await.expect("is found");
    assert_eq!((found.service.as_str(), found.routing.as_str()), ("contoso", "nearest"));
    assert_eq!(regions(&found), [("eastus", "SERVING", true), ("westeurope", "SERVING", true)]);
    assert_eq!(found.regions[0].round_trip_source, "PUBLISHED");
    assert_eq!((found.regions[0].ready_units, found.last_resort), (2, false));

    world.edit(vec![Edit::Disable("eastus".to_owned())]).await.expect("is changed");
    let found = route(&mut world, near("West US")).await.expect("is found");
    assert_eq!(regions(&found), [("westeurope", "SERVING", true), ("eastus", "DISABLED", false)]);
}

#[tokio::test]
async fn a_client_is_located_by_region_coordinates_address_or_the_contacted_agent() {
    let mut world = World::with_contoso().await;
    let change = v1::ChangeNetworksRequest {
        context: context(),
        assign: vec![v1::Network { network: "10.1.0.0/16".into(), region: "East US".into() }],
        remove: vec![],
    };
    world.routing.change_networks(change).await.expect("is changed");
    let coordinates = v1::Coordinates { latitude: 48.85, longitude: 2.35 };
    for (location, region, source, network) in [
        (None, "westeurope", "AGENT", ""),
        (near("japaneast"), "japaneast", "REGION", ""),
        (Some(Location::Coordinates(coordinates)), "belgiumcentral", "COORDINATES", ""),
        (Some(Location::Address("10.1.2.3".into())), "eastus", "NETWORK", "10.1.2.0/24"),
        (Some(Location::Address("192.0.2.1".into())), "westeurope", "AGENT", "192.0.2.0/24"),
    ] {
        let found = route(&mut world, location).await.expect("is found");
        let client = (&*found.client_region, &*found.client_region_source, &*found.client_network);
        assert_eq!(client, (region, source, network));
    }
}

#[tokio::test]
async fn an_invalid_location_is_refused_with_its_field() {
    let mut world = World::with_contoso().await;
    for (location, field) in [
        (Location::Address("example.net".into()), "client.address"),
        (
            Location::Coordinates(v1::Coordinates { latitude: 91.0, longitude: 0.0 }),
            "client.coordinates.latitude",
        ),
        (Location::Region("not a region!".into()), "client.region"),
    ] {
        let status = route(&mut world, Some(location)).await.expect_err("is refused");
        assert_eq!(fields(&status), [field]);
    }
    let status = route(&mut world, near("westeuropa")).await.expect_err("is refused");
    assert_eq!(
        (status.code(), rejections(&status)),
        (Code::NotFound, vec!["REGION_UNKNOWN".into()])
    );
}

#[tokio::test]
async fn a_forecast_has_the_moves_the_remaining_capacity_and_the_quorum() {
    let mut world = World::with_contoso().await;
    let mut forecast = async |regions: &[&str]| {
        let regions = regions.iter().map(|&region| region.to_owned()).collect();
        let request = v1::ForecastLossRequest { regions, ..v1::ForecastLossRequest::default() };
        world.routing.forecast_loss(request).await.map(tonic::Response::into_inner)
    };
    let one = forecast(&["westeurope"]).await.expect("is forecast");
    let [only] = one.moves.as_slice() else { panic!("all move to one region: {one:?}") };
    assert_eq!((only.from.as_str(), only.to.as_str()), ("westeurope", "eastus"));
    assert!(only.client_regions.contains(&"uksouth".to_owned()));
    assert_eq!((one.remaining_units, one.voters, one.remaining_voters), (2, 3, 2));

    let both = forecast(&["westeurope", "eastus"]).await.expect("is forecast");
    assert!(both.moves.iter().all(|it| it.to.is_empty() && it.max_added.is_none()));
    assert_eq!((both.remaining_units, both.remaining_voters), (0, 1));

    let status = forecast(&["japaneast"]).await.expect_err("is refused");
    assert_eq!(rejections(&status), ["REGION_ABSENT"]);
    let status = forecast(&[]).await.expect_err("is refused");
    assert_eq!(fields(&status), ["regions"]);
}

#[tokio::test]
async fn the_settings_of_the_name_servers_are_replaced_as_a_whole() {
    let mut world = World::with_contoso().await;
    let settings = v1::DnsSettings {
        zone: "Gateways.Example.net.".to_owned(),
        ttl_seconds: 10,
        fallback_regions: 1,
        name_servers: vec!["b".to_owned()],
    };
    let request = v1::SetDnsRequest { context: context(), settings: Some(settings.clone()) };
    let response = world.routing.set_dns(request).await.expect("is changed").into_inner();
    assert_eq!(response.events[0].r#type, "DnsSet");
    let found = world.routing.get_dns(v1::GetDnsRequest::default()).await;
    let found = found.expect("is read").into_inner();
    let zone = "gateways.example.net".to_owned();
    assert_eq!(found.settings, Some(v1::DnsSettings { zone, ..settings.clone() }));
    let servers = found.name_servers.iter().map(|it| (&*it.agent, &*it.region, &*it.host));
    assert_eq!(servers.collect::<Vec<_>>(), [("b", "eastus", "127.0.1.2")]);

    let invalid = v1::DnsSettings {
        zone: "-..".to_owned(),
        ttl_seconds: 61,
        fallback_regions: 4,
        name_servers: vec!["B!".to_owned()],
    };
    let request = v1::SetDnsRequest { context: context(), settings: Some(invalid) };
    let status = world.routing.set_dns(request).await.expect_err("is refused");
    let expected = ["zone", "ttl_seconds", "fallback_regions", "name_servers[0]"];
    assert_eq!(fields(&status), expected.map(|field| format!("settings.{field}")));
}

#[tokio::test]
async fn networks_are_assigned_listed_and_removed() {
    let mut world = World::with_contoso().await;
    let network = |network: &str, region: &str| v1::Network {
        network: network.to_owned(),
        region: region.to_owned(),
    };
    let assign = vec![network("2001:db8::/32", "eastus"), network("10.1.0.0/16", "westeurope")];
    let request = v1::ChangeNetworksRequest { context: context(), assign, remove: vec![] };
    world.routing.change_networks(request).await.expect("is changed");
    let list = world.routing.list_networks(v1::ListNetworksRequest::default()).await;
    let list = list.expect("is listed").into_inner().networks;
    assert_eq!(list, [network("10.1.0.0/16", "westeurope"), network("2001:db8::/32", "eastus")]);

    let request = v1::ChangeNetworksRequest {
        context: context(),
        assign: vec![network("10.1.0.7/16", "eastus")],
        remove: vec!["10.2.0.0".to_owned()],
    };
    let status = world.routing.change_networks(request).await.expect_err("is refused");
    assert_eq!(fields(&status), ["assign[0].network", "remove[0]"]);
    let remove = vec!["10.3.0.0/16".to_owned()];
    let request = v1::ChangeNetworksRequest { context: context(), assign: vec![], remove };
    let status = world.routing.change_networks(request).await.expect_err("is refused");
    assert_eq!(
        (status.code(), rejections(&status)),
        (Code::NotFound, vec!["NETWORK_UNKNOWN".into()])
    );
}
