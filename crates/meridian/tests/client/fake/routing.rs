//! The routing of a fake agent: always the same.

use meridian_proto::v1;
use meridian_proto::v1::routing_server::Routing;
use prost_types::{Duration, Timestamp};
use tonic::{Request, Response, Status};

use super::Agent;

type RpcResult<T> = Result<Response<T>, Status>;

/// A time of loss: 2026-11-18T11:06:40Z.
const LOST_S: i64 = 1_795_000_000;

fn ms(ms: i32) -> Option<Duration> {
    Some(Duration { seconds: 0, nanos: ms * 1_000_000 })
}

fn region(name: &str, round_trip: i32, source: &str, availability: &str) -> v1::RouteRegion {
    let serves = availability == "SERVING";
    v1::RouteRegion {
        region: name.to_owned(),
        round_trip: ms(round_trip),
        round_trip_source: source.to_owned(),
        priority: 1,
        weight: 100,
        availability: availability.to_owned(),
        ready_units: if serves { 2 } else { 0 },
        lost_since: (availability == "LOST").then_some(Timestamp { seconds: LOST_S, nanos: 0 }),
        routed: serves,
    }
}

fn moved(to: &str, client_regions: &[&str], added: (i32, i32)) -> v1::Move {
    v1::Move {
        from: "westeurope".to_owned(),
        to: to.to_owned(),
        client_regions: client_regions.iter().map(|&region| region.to_owned()).collect(),
        min_added: ms(added.0),
        max_added: ms(added.1),
    }
}

#[tonic::async_trait]
impl Routing for Agent {
    async fn get_route(&self, r: Request<v1::GetRouteRequest>) -> RpcResult<v1::GetRouteResponse> {
        use v1::client_location::Location;
        let location = r.into_inner().client.and_then(|client| client.location);
        let (source, network) = match location {
            None => ("AGENT", ""),
            Some(Location::Region(_)) => ("REGION", ""),
            Some(Location::Coordinates(_)) => ("COORDINATES", ""),
            Some(Location::Address(_)) => ("NETWORK", "198.51.100.0/24"),
        };
        Ok(Response::new(v1::GetRouteResponse {
            service: "contoso".to_owned(),
            routing: if network.is_empty() { "nearest" } else { "weighted" }.to_owned(),
            client_region: "francecentral".to_owned(),
            client_region_source: source.to_owned(),
            client_network: network.to_owned(),
            regions: vec![
                region("westeurope", 14, "PUBLISHED", "SERVING"),
                region("austriaeast", 39, "DISTANCE", "SERVING"),
                region("francecentral", 0, "SAME_REGION", "LOST"),
                region("eastus", 81, "MEASURED", "NO_READY_UNIT"),
                region("japaneast", 221, "PUBLISHED", "DISABLED"),
            ],
            ..Default::default()
        }))
    }
    async fn forecast_loss(
        &self,
        _: Request<v1::ForecastLossRequest>,
    ) -> RpcResult<v1::ForecastLossResponse> {
        Ok(Response::new(v1::ForecastLossResponse {
            service: "contoso".to_owned(),
            moves: vec![
                moved("eastus", &["northeurope", "uksouth"], (61, 72)),
                moved("japaneast", &["westeurope"], (230, 230)),
            ],
            remaining_units: 2,
            load_permille: Some(1_310),
            voters: 3,
            remaining_voters: 2,
            ..Default::default()
        }))
    }
    async fn set_dns(&self, r: Request<v1::SetDnsRequest>) -> RpcResult<v1::ChangeResponse> {
        self.change("SetDns", r.into_inner().context).await
    }
    async fn get_dns(&self, _: Request<v1::GetDnsRequest>) -> RpcResult<v1::GetDnsResponse> {
        let server = |region: &str, host: &str| v1::NameServer {
            agent: format!("{region}-1"),
            region: region.to_owned(),
            host: host.to_owned(),
        };
        Ok(Response::new(v1::GetDnsResponse {
            settings: Some(v1::DnsSettings {
                zone: "gateways.example.net".to_owned(),
                ttl_seconds: 5,
                ..Default::default()
            }),
            name_servers: vec![server("eastus", "192.0.2.1"), server("westeurope", "192.0.2.9")],
            delegation: vec![
                "gateways.example.net. 3600 IN NS eastus-1.ns.gateways.example.net.".to_owned(),
                "eastus-1.ns.gateways.example.net. 3600 IN A 192.0.2.1".to_owned(),
            ],
            ..Default::default()
        }))
    }
    async fn change_networks(
        &self,
        r: Request<v1::ChangeNetworksRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("ChangeNetworks", r.into_inner().context).await
    }
    async fn list_networks(
        &self,
        _: Request<v1::ListNetworksRequest>,
    ) -> RpcResult<v1::ListNetworksResponse> {
        let network = |network: &str, region: &str| v1::Network {
            network: network.to_owned(),
            region: region.to_owned(),
        };
        let networks =
            vec![network("10.1.0.0/16", "westeurope"), network("2001:db8:1::/48", "eastus")];
        Ok(Response::new(v1::ListNetworksResponse { networks, ..Default::default() }))
    }
}
