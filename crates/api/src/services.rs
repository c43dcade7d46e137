//! Services, their locations, their APIs and their units.

mod locations;
mod units;

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::try_join;
use meridian_domain::status::impact;
use meridian_domain::{RegionName, State};
use meridian_ports::observe;
use meridian_proto::convert::ChangeRequest;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;
use meridian_proto::v1::services_server::Services;
use meridian_wording as wording;
use tonic::{Request, Response, Status};

use crate::{Ports, change, convert, deadline, read};

/// The service `Services` of the contract.
pub(crate) struct ServicesApi(pub(crate) Ports);

#[tonic::async_trait]
impl Services for ServicesApi {
    async fn create_service(
        &self,
        request: Request<v1::CreateServiceRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let primary = request.get_ref().primary.clone();
        self.declare_units(request, vec![primary]).await
    }

    async fn change_service(
        &self,
        request: Request<v1::ChangeServiceRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let message = request.get_ref();
        let regions = message.edits.iter().filter_map(|edit| region_with_units(edit).cloned());
        let regions = regions.collect();
        self.declare_units(request, regions).await
    }

    async fn delete_service(
        &self,
        request: Request<v1::DeleteServiceRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.0, request).await
    }

    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let read = read::wait(&self.0, request.get_ref().consistency, deadline).await?;
        let state = self.0.read.state();
        Ok(Response::new(v1::ListServicesResponse {
            read_point: read::point(&state, &read),
            services: state.services.values().map(v1::Service::from).collect(),
        }))
    }

    async fn list_locations(
        &self,
        request: Request<v1::ListLocationsRequest>,
    ) -> Result<Response<v1::ListLocationsResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.get_ref();
        let read = read::wait(&self.0, message.consistency, deadline);
        let observations = observe::contacts(&self.0, deadline).map(Ok);
        let (read, observations) = try_join(read, observations).await?;
        let state = self.0.read.state();
        let service = read::service(&state, &message.service)?;
        Ok(Response::new(v1::ListLocationsResponse {
            read_point: read::point(&state, &read),
            service: service.name.to_string(),
            service_revision: service.revision.0,
            locations: locations::list(&state, &observations, service),
            observer: convert::observer(&state, &observations),
        }))
    }

    async fn list_apis(
        &self,
        request: Request<v1::ListApisRequest>,
    ) -> Result<Response<v1::ListApisResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.get_ref();
        let read = read::wait(&self.0, message.consistency, deadline).await?;
        let state = self.0.read.state();
        let service = read::service(&state, &message.service)?;
        Ok(Response::new(v1::ListApisResponse {
            read_point: read::point(&state, &read),
            service: service.name.to_string(),
            service_revision: service.revision.0,
            apis: state.apis_of(&service.name).map(v1::Api::from).collect(),
        }))
    }

    async fn roll_units(
        &self,
        request: Request<v1::RollUnitsRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.0, request).await
    }

    async fn list_units(
        &self,
        request: Request<v1::ListUnitsRequest>,
    ) -> Result<Response<v1::ListUnitsResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.get_ref();
        let read = read::wait(&self.0, message.consistency, deadline);
        let observations = observe::contacts_and_loads(&self.0, deadline).map(Ok);
        let (read, observations) = try_join(read, observations).await?;
        let state = self.0.read.state();
        Ok(Response::new(v1::ListUnitsResponse {
            read_point: read::point(&state, &read),
            units: units::list(&state, &observations, &message.service)?,
            observer: convert::observer(&state, &observations),
        }))
    }

    async fn list_catalog(
        &self,
        _: Request<v1::ListCatalogRequest>,
    ) -> Result<Response<v1::ListCatalogResponse>, Status> {
        let state = self.0.read.state();
        Ok(Response::new(v1::ListCatalogResponse { regions: catalog(&state) }))
    }
}

impl ServicesApi {
    /// Handles a change that declares units in `regions`, and adds its impact to the response.
    async fn declare_units<R: ChangeRequest>(
        &self,
        request: Request<R>,
        regions: Vec<String>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let mut response = change::handle(&self.0, request).await?;
        let regions = regions.iter().flat_map(|text| RegionName::parse(text));
        let regions: BTreeSet<_> = regions.collect();
        let state = self.0.read.state();
        let impact = impact::of_edits(&state, &regions);
        response.get_mut().waits =
            impact.iter().map(|impact| convert::wait(wording::impact(&state, impact))).collect();
        Ok(response)
    }
}

/// Returns the region in which an edit declares units.
fn region_with_units(edit: &v1::Edit) -> Option<&String> {
    match edit.edit.as_ref()? {
        EditKind::Add(add) => Some(&add.region),
        EditKind::Scale(scale) => Some(&scale.region),
        EditKind::Set(set) => Some(&set.region),
        EditKind::Remove(_)
        | EditKind::Promote(_)
        | EditKind::Enable(_)
        | EditKind::Disable(_)
        | EditKind::Tier(_)
        | EditKind::Port(_)
        | EditKind::Prefer(_)
        | EditKind::Routing(_)
        | EditKind::WhenDisabled(_)
        | EditKind::PublishApi(_)
        | EditKind::RemoveApi(_) => None,
    }
}

fn catalog(state: &State) -> Vec<v1::Region> {
    let mut agents: BTreeMap<&RegionName, u32> = BTreeMap::new();
    for agent in state.agents.values() {
        *agents.entry(&agent.description.region).or_default() += 1;
    }
    let mut regions: Vec<_> = state.all_regions().collect();
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    let agents_in = |name| agents.get(name).copied().unwrap_or_default();
    let regions = regions.into_iter().map(|region| {
        let is_custom = state.regions.contains_key(&region.name);
        v1::Region::of(region, agents_in(&region.name), is_custom)
    });
    regions.collect()
}
