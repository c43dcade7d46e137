//! The gRPC services of a fake agent.

use std::collections::VecDeque;

use meridian_proto::v1;
use meridian_proto::v1::cluster_server::Cluster;
use meridian_proto::v1::events_server::Events;
use meridian_proto::v1::services_server::Services;
use tonic::{Code, Request, Response, Status};

use super::{Agent, status};

type RpcResult<T> = Result<Response<T>, Status>;

/// The next state of a list; the last one stays.
fn next<T: Clone>(states: &mut VecDeque<T>) -> Option<T> {
    if states.len() > 1 { states.pop_front() } else { states.front().cloned() }
}

#[tonic::async_trait]
impl Services for Agent {
    async fn create_service(
        &self,
        r: Request<v1::CreateServiceRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("CreateService", r.into_inner().context).await
    }
    async fn change_service(
        &self,
        r: Request<v1::ChangeServiceRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        let request = r.into_inner();
        self.script().edits.extend(request.edits);
        self.script().expected.push(request.expected_revision);
        self.change("ChangeService", request.context).await
    }
    async fn delete_service(
        &self,
        r: Request<v1::DeleteServiceRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("DeleteService", r.into_inner().context).await
    }
    async fn list_services(
        &self,
        _: Request<v1::ListServicesRequest>,
    ) -> RpcResult<v1::ListServicesResponse> {
        let services = self.script().services.clone();
        Ok(Response::new(v1::ListServicesResponse { services, ..Default::default() }))
    }
    async fn list_locations(
        &self,
        _: Request<v1::ListLocationsRequest>,
    ) -> RpcResult<v1::ListLocationsResponse> {
        let mut script = self.script();
        if let Some(status) = &script.list_error {
            return Err(status.clone());
        }
        let location = next(&mut script.locations);
        let locations = location.into_iter().chain(script.others.clone()).collect();
        let (service_revision, observer) = (9, script.observer.clone());
        let response = v1::ListLocationsResponse {
            locations,
            service_revision,
            observer,
            ..Default::default()
        };
        Ok(Response::new(response))
    }
    async fn list_apis(&self, r: Request<v1::ListApisRequest>) -> RpcResult<v1::ListApisResponse> {
        let (service, apis) = (r.into_inner().service, self.script().apis.clone());
        Ok(Response::new(v1::ListApisResponse { service, apis, ..Default::default() }))
    }
    async fn roll_units(&self, r: Request<v1::RollUnitsRequest>) -> RpcResult<v1::ChangeResponse> {
        let request = r.into_inner();
        self.script().rolls.push((request.service, request.region));
        self.change("RollUnits", request.context).await
    }
    async fn list_units(
        &self,
        _: Request<v1::ListUnitsRequest>,
    ) -> RpcResult<v1::ListUnitsResponse> {
        let script = self.script();
        let (units, observer) = (script.units.clone(), script.observer.clone());
        Ok(Response::new(v1::ListUnitsResponse { units, observer, ..Default::default() }))
    }
    async fn list_catalog(
        &self,
        _: Request<v1::ListCatalogRequest>,
    ) -> RpcResult<v1::ListCatalogResponse> {
        Ok(Response::new(v1::ListCatalogResponse { regions: self.script().catalog.clone() }))
    }
}

#[tonic::async_trait]
impl Events for Agent {
    type WatchStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::WatchResponse, Status>>>;

    async fn watch(&self, r: Request<v1::WatchRequest>) -> RpcResult<Self::WatchStream> {
        let mut script = self.script();
        script.watched_from.push(r.into_inner().from);
        let Some((frames, end)) = script.streams.pop_front() else {
            return Err(status(Code::Unavailable, "SHUTTING_DOWN", "this agent is shutting down"));
        };
        let items: Vec<_> = frames.into_iter().map(Ok).chain(end.map(Err)).collect();
        Ok(Response::new(tokio_stream::iter(items)))
    }
}

#[tonic::async_trait]
impl Cluster for Agent {
    async fn list_members(
        &self,
        _: Request<v1::ListMembersRequest>,
    ) -> RpcResult<v1::ListMembersResponse> {
        let members = next(&mut self.script().members).unwrap_or_default();
        Ok(Response::new(v1::ListMembersResponse { members }))
    }
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> RpcResult<v1::GetStatusResponse> {
        Ok(Response::new(self.script().status.clone()))
    }
    async fn register_agent(
        &self,
        _: Request<v1::RegisterAgentRequest>,
    ) -> RpcResult<v1::RegisterAgentResponse> {
        Err(Status::unimplemented("the command line registers no agents"))
    }
    async fn invite_agent(
        &self,
        _: Request<v1::InviteAgentRequest>,
    ) -> RpcResult<v1::InviteAgentResponse> {
        Ok(Response::new(v1::InviteAgentResponse { agent: "japaneast-1".to_owned() }))
    }
    async fn readdress_agent(
        &self,
        _: Request<v1::ReaddressAgentRequest>,
    ) -> RpcResult<v1::ReaddressAgentResponse> {
        Ok(Response::new(v1::ReaddressAgentResponse {
            informed: vec!["westeurope-1".to_owned(), "eastus-1".to_owned()],
            unreachable: vec!["southeastasia-1".to_owned()],
        }))
    }
    async fn drain_agent(
        &self,
        r: Request<v1::DrainAgentRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("DrainAgent", r.into_inner().context).await
    }
    async fn remove_agent(
        &self,
        r: Request<v1::RemoveAgentRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("RemoveAgent", r.into_inner().context).await
    }
    async fn transfer_leader(
        &self,
        _: Request<v1::TransferLeaderRequest>,
    ) -> RpcResult<v1::TransferLeaderResponse> {
        self.change("TransferLeader", None).await?;
        Ok(Response::new(v1::TransferLeaderResponse { agent: "eastus-1".to_owned() }))
    }
    async fn take_snapshot(
        &self,
        _: Request<v1::TakeSnapshotRequest>,
    ) -> RpcResult<v1::TakeSnapshotResponse> {
        Ok(Response::new(v1::TakeSnapshotResponse { revision: 12 }))
    }
    async fn set_limits(&self, r: Request<v1::SetLimitsRequest>) -> RpcResult<v1::ChangeResponse> {
        self.change("SetLimits", r.into_inner().context).await
    }
    async fn get_limits(
        &self,
        _: Request<v1::GetLimitsRequest>,
    ) -> RpcResult<v1::GetLimitsResponse> {
        let limits = Some(v1::Limits { basic_units: 2, premium_units: 12, ..Default::default() });
        Ok(Response::new(v1::GetLimitsResponse { limits, ..Default::default() }))
    }
    async fn define_region(
        &self,
        r: Request<v1::DefineRegionRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("DefineRegion", r.into_inner().context).await
    }
    async fn trim_history(
        &self,
        r: Request<v1::TrimHistoryRequest>,
    ) -> RpcResult<v1::ChangeResponse> {
        self.change("TrimHistory", r.into_inner().context).await
    }
}
