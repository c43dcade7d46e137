//! What several commands have to read before they can do, or show, what they are about.

use meridian_proto::v1;

use super::contract;
use super::failure::Failure;
use super::session::Session;
use super::view::{ApiView, LocationView, MemberView, ServiceView, UnitView};

/// The services.
///
/// # Errors
/// As [`Session::read`].
pub async fn services(session: &Session) -> Result<Vec<ServiceView>, Failure> {
    let request = v1::ListServicesRequest { consistency: session.consistency().into() };
    let answer = session.read(request, async |channel, request| {
        contract::services(channel).list_services(request).await
    });
    Ok(answer.await?.services.into_iter().map(ServiceView::from).collect())
}

/// The regions of a service.
///
/// # Errors
/// If there is no such service, or nobody answered.
pub async fn locations(session: &Session, service: &str) -> Result<Vec<LocationView>, Failure> {
    let request = v1::ListLocationsRequest {
        consistency: session.consistency().into(),
        service: service.to_owned(),
    };
    let answer = session.read(request, async |channel, request| {
        contract::services(channel).list_locations(request).await
    });
    Ok(answer.await?.locations.into_iter().map(LocationView::from).collect())
}

/// The APIs of a service.
///
/// # Errors
/// If there is no such service, or nobody answered.
pub async fn apis(session: &Session, service: &str) -> Result<Vec<ApiView>, Failure> {
    let request = v1::ListApisRequest {
        consistency: session.consistency().into(),
        service: service.to_owned(),
    };
    let answer = session.read(request, async |channel, request| {
        contract::services(channel).list_apis(request).await
    });
    Ok(answer.await?.apis.into_iter().map(ApiView::from).collect())
}

/// The units of a service, or of all.
///
/// # Errors
/// As [`Session::read`].
pub async fn units(session: &Session, service: &str) -> Result<Vec<UnitView>, Failure> {
    let request = v1::ListUnitsRequest {
        consistency: session.consistency().into(),
        service: service.to_owned(),
    };
    let answer = session.read(request, async |channel, request| {
        contract::services(channel).list_units(request).await
    });
    Ok(answer.await?.units.into_iter().map(UnitView::from).collect())
}

/// The members of the Raft group.
///
/// # Errors
/// As [`Session::read`].
pub async fn members(session: &Session) -> Result<Vec<MemberView>, Failure> {
    let answer = session.read(v1::ListMembersRequest {}, async |channel, request| {
        contract::cluster(channel).list_members(request).await
    });
    Ok(answer.await?.members.into_iter().map(MemberView::from).collect())
}

/// The member that is this agent, if there is one.
///
/// # Errors
/// As [`Session::read`].
pub async fn member(session: &Session, agent: &str) -> Result<Option<MemberView>, Failure> {
    let mut members = members(session).await?.into_iter();
    Ok(members.find(|member| member.agent.as_deref() == Some(agent)))
}
