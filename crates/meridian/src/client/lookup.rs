//! Reads that several commands need.

use meridian_proto::v1;

use super::contract;
use super::failure::Failure;
use super::session::Session;
use super::view::{ApiView, LocationView, MemberView, ServiceView, UnitView};

/// Lists the services.
///
/// # Errors
/// Same as [`Session::read`].
pub async fn services(session: &Session) -> Result<Vec<ServiceView>, Failure> {
    let request = v1::ListServicesRequest { consistency: session.consistency().into() };
    let response = session.read(request, async |channel, request| {
        contract::services(channel).list_services(request).await
    });
    Ok(response.await?.services.into_iter().map(ServiceView::from).collect())
}

/// Lists the regions of a service.
///
/// # Errors
/// If there is no such service, or no agent responded.
pub async fn locations(session: &Session, service: &str) -> Result<Vec<LocationView>, Failure> {
    Ok(locations_at(session, service).await?.1)
}

/// Lists the regions of a service, with the revision of the service in the same read.
///
/// # Errors
/// Same as [`locations`].
pub async fn locations_at(
    session: &Session,
    service: &str,
) -> Result<(u64, Vec<LocationView>), Failure> {
    let request = v1::ListLocationsRequest {
        consistency: session.consistency().into(),
        service: service.to_owned(),
    };
    let response = session.read(request, async |channel, request| {
        contract::services(channel).list_locations(request).await
    });
    let response = response.await?;
    Ok((response.service_revision, LocationView::list(response)))
}

/// Lists the APIs of a service.
///
/// # Errors
/// If there is no such service, or no agent responded.
pub async fn apis(session: &Session, service: &str) -> Result<Vec<ApiView>, Failure> {
    let request = v1::ListApisRequest {
        consistency: session.consistency().into(),
        service: service.to_owned(),
    };
    let response = session.read(request, async |channel, request| {
        contract::services(channel).list_apis(request).await
    });
    Ok(response.await?.apis.into_iter().map(ApiView::from).collect())
}

/// Lists the units of a service, or of all services if `service` is empty.
///
/// # Errors
/// Same as [`Session::read`].
pub async fn units(session: &Session, service: &str) -> Result<Vec<UnitView>, Failure> {
    let request = v1::ListUnitsRequest {
        consistency: session.consistency().into(),
        service: service.to_owned(),
    };
    let response = session.read(request, async |channel, request| {
        contract::services(channel).list_units(request).await
    });
    Ok(UnitView::list(response.await?))
}

/// Lists the members of the Raft group.
///
/// # Errors
/// Same as [`Session::read`].
pub async fn members(session: &Session) -> Result<Vec<MemberView>, Failure> {
    let response = session.read(v1::ListMembersRequest {}, async |channel, request| {
        contract::cluster(channel).list_members(request).await
    });
    Ok(response.await?.members.into_iter().map(MemberView::from).collect())
}

/// Reads the limits.
///
/// # Errors
/// Same as [`Session::read`].
pub async fn limits(session: &Session) -> Result<v1::Limits, Failure> {
    let request = v1::GetLimitsRequest { consistency: session.consistency().into() };
    let response = session.read(request, async |channel, request| {
        contract::cluster(channel).get_limits(request).await
    });
    response.await?.limits.ok_or(Failure::InvalidResponse { what: "the limits" })
}

/// The member of an agent, if it has one.
///
/// # Errors
/// Same as [`Session::read`].
pub async fn member(session: &Session, agent: &str) -> Result<Option<MemberView>, Failure> {
    let mut members = members(session).await?.into_iter();
    Ok(members.find(|member| member.agent.as_deref() == Some(agent)))
}

/// True if two texts name the same region: case and spaces are ignored.
pub fn same_region(first: &str, second: &str) -> bool {
    fold(first) == fold(second)
}

/// A region name in lower case, without spaces.
pub fn fold(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// True if `name`, as a user typed it, is the location's region.
pub fn is_in(location: &LocationView, name: &str) -> bool {
    same_region(&location.region, name) || same_region(&location.display_name, name)
}
