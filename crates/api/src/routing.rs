//! Routing of clients, and the settings of the name servers.

mod client;
mod forecast;
mod route;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::try_join;
use meridian_domain::{Network, RegionName, name_servers};
use meridian_ports::{NameServer, observe};
use meridian_proto::v1;
use meridian_proto::v1::routing_server::Routing;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::{Ports, change, deadline, read};

/// The service `Routing` of the contract.
pub(crate) struct RoutingApi {
    pub(crate) ports: Ports,
    pub(crate) name_server: Arc<dyn NameServer>,
}

#[tonic::async_trait]
impl Routing for RoutingApi {
    async fn get_route(
        &self,
        request: Request<v1::GetRouteRequest>,
    ) -> Result<Response<v1::GetRouteResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.get_ref();
        let location = client::checked(message.client.as_ref()).map_err(Error::from)?;
        let read = read::wait(&self.ports, message.consistency, deadline).await?;
        let located = client::locate(self, location)?;
        let state = self.ports.read.state();
        let service = read::service(&state, &message.service)?;
        Ok(Response::new(v1::GetRouteResponse {
            read_point: read::point(&state, &read),
            ..route::response(&state, service, located)
        }))
    }

    async fn forecast_loss(
        &self,
        request: Request<v1::ForecastLossRequest>,
    ) -> Result<Response<v1::ForecastLossResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.get_ref();
        let regions = forecast::regions(&message.regions).map_err(Error::from)?;
        let read = read::wait(&self.ports, message.consistency, deadline);
        let observations = observe::contacts_and_loads(&self.ports, deadline).map(Ok);
        let (read, observations) = try_join(read, observations).await?;
        let state = self.ports.read.state();
        let service = read::service(&state, &message.service)?;
        Ok(Response::new(v1::ForecastLossResponse {
            read_point: read::point(&state, &read),
            ..forecast::response(&state, &observations, service, &regions)?
        }))
    }

    async fn set_dns(
        &self,
        request: Request<v1::SetDnsRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.ports, request).await
    }

    async fn get_dns(
        &self,
        request: Request<v1::GetDnsRequest>,
    ) -> Result<Response<v1::GetDnsResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let read = read::wait(&self.ports, request.get_ref().consistency, deadline).await?;
        let state = self.ports.read.state();
        let name_servers =
            name_servers::name_servers(&state).into_iter().map(|agent| v1::NameServer {
                agent: agent.description.name.to_string(),
                region: agent.description.region.to_string(),
                host: agent.description.gateway_host.clone(),
            });
        Ok(Response::new(v1::GetDnsResponse {
            read_point: read::point(&state, &read),
            settings: Some(v1::DnsSettings::from(&state.header.dns)),
            name_servers: name_servers.collect(),
            delegation: self.name_server.delegation(),
            contacted_region: self.name_server.region().to_string(),
            contacted_addresses: self
                .name_server
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }))
    }

    async fn change_networks(
        &self,
        request: Request<v1::ChangeNetworksRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.ports, request).await
    }

    async fn list_networks(
        &self,
        request: Request<v1::ListNetworksRequest>,
    ) -> Result<Response<v1::ListNetworksResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let read = read::wait(&self.ports, request.get_ref().consistency, deadline).await?;
        let state = self.ports.read.state();
        let row = |(network, region): (&Network, &RegionName)| v1::Network {
            network: network.to_string(),
            region: region.to_string(),
        };
        Ok(Response::new(v1::ListNetworksResponse {
            read_point: read::point(&state, &read),
            networks: state.networks.iter().map(row).collect(),
        }))
    }
}
