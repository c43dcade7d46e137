//! Services, their locations, their APIs and their units.

mod locations;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join;
use meridian_domain::{NodeId, RegionName, State};
use meridian_ports::{LastContact, Member};
use meridian_proto::convert::{Aim, ChangeRequest};
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;
use meridian_proto::v1::services_server::Services;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::{Ports, change, deadline, reading};

/// How long the leader may not have heard of an agent before that is said of its locations: several
/// heartbeats on the slowest profile, and an election.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a list waits for what it can do without: contact times, loads.
const EXTRAS_WAIT: Duration = Duration::from_millis(500);

/// The service of that name in the contract.
pub(crate) struct ServicesApi(pub(crate) Ports);

#[tonic::async_trait]
impl Services for ServicesApi {
    async fn create_service(
        &self,
        request: Request<v1::CreateServiceRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let asked = request.get_ref();
        let (service, primary) = (asked.service.clone(), asked.primary.clone());
        self.change_regions(request, service, vec![primary]).await
    }

    async fn change_service(
        &self,
        request: Request<v1::ChangeServiceRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let asked = request.get_ref();
        let regions = asked.edits.iter().filter_map(|edit| region_of(edit).cloned()).collect();
        let service = asked.service.clone();
        self.change_regions(request, service, regions).await
    }

    async fn delete_service(
        &self,
        request: Request<v1::DeleteServiceRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::answer(&self.0, request).await
    }

    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let read = reading::freshen(&self.0, request.get_ref().consistency, deadline).await?;
        let state = self.0.read.state();
        Ok(Response::new(v1::ListServicesResponse {
            read_point: reading::point(&state, &read),
            services: state.services.values().map(v1::Service::from).collect(),
        }))
    }

    async fn list_locations(
        &self,
        request: Request<v1::ListLocationsRequest>,
    ) -> Result<Response<v1::ListLocationsResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let asked = request.get_ref();
        let fresh = reading::freshen(&self.0, asked.consistency, deadline);
        let silent = silent(&self.0, deadline).map(Ok);
        let (read, silent) = try_join(fresh, silent).await?;
        let state = self.0.read.state();
        let service = reading::service(&state, &asked.service)?;
        Ok(Response::new(v1::ListLocationsResponse {
            read_point: reading::point(&state, &read),
            service: service.name.to_string(),
            service_revision: service.revision.0,
            locations: locations::of(&state, service, &silent),
        }))
    }

    async fn list_apis(
        &self,
        request: Request<v1::ListApisRequest>,
    ) -> Result<Response<v1::ListApisResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let asked = request.get_ref();
        let read = reading::freshen(&self.0, asked.consistency, deadline).await?;
        let state = self.0.read.state();
        let service = reading::service(&state, &asked.service)?;
        Ok(Response::new(v1::ListApisResponse {
            read_point: reading::point(&state, &read),
            service: service.name.to_string(),
            service_revision: service.revision.0,
            apis: state.apis_of(&service.name).map(v1::Api::from).collect(),
        }))
    }

    async fn roll_units(
        &self,
        request: Request<v1::RollUnitsRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::answer(&self.0, request).await
    }

    async fn list_units(
        &self,
        request: Request<v1::ListUnitsRequest>,
    ) -> Result<Response<v1::ListUnitsResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let asked = request.get_ref();
        let read = reading::freshen(&self.0, asked.consistency, deadline).await?;
        let loads = self.0.cluster.loads(deadline::within(deadline, EXTRAS_WAIT)).await;
        let state = self.0.read.state();
        Ok(Response::new(v1::ListUnitsResponse {
            read_point: reading::point(&state, &read),
            units: units::of(&state, &loads, &asked.service)?,
        }))
    }

    async fn list_catalogue(
        &self,
        _: Request<v1::ListCatalogueRequest>,
    ) -> Result<Response<v1::ListCatalogueResponse>, Status> {
        let state = self.0.read.state();
        Ok(Response::new(v1::ListCatalogueResponse { regions: catalogue(&state) }))
    }
}

impl ServicesApi {
    /// Responds to a change of the units in `regions`, with what those units wait for. A dry run has the
    /// same waits.
    async fn change_regions<R: ChangeRequest>(
        &self,
        request: Request<R>,
        service: String,
        regions: Vec<String>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let is_dry = request.get_ref().asked().is_ok_and(|asked| matches!(asked.aim, Aim::DryRun));
        let mut answer = change::answer(&self.0, request).await?;
        let state = self.0.read.state();
        answer.get_mut().waits = match is_dry {
            true => locations::would_be_homeless(&state, &regions),
            false => locations::homeless(&state, &service, &regions),
        };
        Ok(answer)
    }
}

/// The region in which an edit wants units.
fn region_of(edit: &v1::Edit) -> Option<&String> {
    match edit.edit.as_ref()? {
        EditKind::Add(add) => Some(&add.region),
        EditKind::Scale(scale) => Some(&scale.region),
        EditKind::Set(set) => Some(&set.region),
        _ => None,
    }
}

/// The agents of which the leader has not heard for a while. One whose contact is not known is not
/// said to be silent.
pub(crate) async fn silent(ports: &Ports, deadline: Instant) -> BTreeSet<NodeId> {
    let members = ports.cluster.members(deadline::within(deadline, EXTRAS_WAIT)).await;
    silent_of(&members).collect()
}

/// Those of the members of which the leader has not heard for a while.
pub(crate) fn silent_of(members: &[Member]) -> impl Iterator<Item = NodeId> {
    let silence = |member: &&Member| member.last_contact.map(LastContact::silence);
    members.iter().filter(move |member| silence(member) > Some(SILENCE)).map(|member| member.node)
}

/// Locations that are not ready, a sentence each.
pub(crate) fn unready(state: &State, silent: &BTreeSet<NodeId>) -> Vec<String> {
    locations::unready(state, silent)
}

/// Whether the leader has heard of the member lately.
pub(crate) fn is_heard(member: &Member) -> bool {
    matches!(member.last_contact, Some(LastContact::Ago(silence)) if silence <= SILENCE)
}

fn catalogue(state: &State) -> Vec<v1::Region> {
    let mut agents: BTreeMap<&RegionName, u32> = BTreeMap::new();
    for agent in state.agents.values() {
        *agents.entry(&agent.description.region).or_default() += 1;
    }
    let mut regions: Vec<_> = state.all_regions().collect();
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    let of = |name| agents.get(name).copied().unwrap_or_default();
    let regions = regions.into_iter().map(|region| {
        v1::Region::of(region, of(&region.name), state.regions.contains_key(&region.name))
    });
    regions.collect()
}
