//! Common parts of all reads.

use meridian_domain::{Service, ServiceName, State, unknown};
use meridian_ports::{Consistency, ReadPoint};
use meridian_proto::convert::{Checks, Violations, field, time};
use meridian_proto::v1;
use tokio::time::Instant;

use crate::Ports;
use crate::error::Error;

/// Maximum number of services listed in an error that requires naming one.
const NAMES_LISTED: usize = 10;

/// Converts the consistency of a message.
///
/// # Errors
/// If it is unknown.
pub(crate) fn consistency(given: i32) -> Result<Consistency, Violations> {
    match v1::Consistency::try_from(given) {
        Ok(v1::Consistency::Linearizable) => Ok(Consistency::Linearizable),
        Ok(v1::Consistency::Stale) => Ok(Consistency::Stale),
        Err(_) => Err(Violations::one("consistency", format_args!("{given} is unknown"))),
    }
}

/// Returns once the state has the consistency that the message requests.
pub(crate) async fn wait(
    ports: &Ports,
    wanted: i32,
    deadline: Instant,
) -> Result<ReadPoint, Error> {
    Ok(ports.read.read(consistency(wanted)?, deadline).await?)
}

/// Converts the position of a response from `state`, which may be newer than the read required.
pub(crate) fn point(state: &State, read: &ReadPoint) -> Option<v1::ReadPoint> {
    Some(v1::ReadPoint {
        revision: state.header.revision.0,
        leader_contact: read.leader_contact.map(time::duration),
    })
}

/// Returns the service of that name, or, without a name, the only one.
pub(crate) fn service<'a>(state: &'a State, given: &str) -> Result<&'a Service, Error> {
    if !given.is_empty() {
        let name = service_name(given)?;
        return state.services.get(&name).ok_or_else(|| unknown_service(state, &name));
    }
    let mut services = state.services.values();
    match (services.next(), services.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Violations::one("service", "there are no services").into()),
        (Some(_), Some(_)) => Err(Violations::one("service", several_services(state)).into()),
    }
}

/// Validates the name of a service.
pub(crate) fn service_name(given: &str) -> Result<ServiceName, Violations> {
    let mut checks = Checks::default();
    let name = field::service(&mut checks, "service", given);
    checks.finish(name)
}

/// Creates the error for an unknown service, with the nearest names.
pub(crate) fn unknown_service(state: &State, service: &ServiceName) -> Error {
    Error::rejected(vec![unknown::service(state, service)])
}

fn several_services(state: &State) -> String {
    let names = state.services.keys().take(NAMES_LISTED).map(ServiceName::as_str);
    let names = names.collect::<Vec<_>>().join(", ");
    let more = state.services.len().saturating_sub(NAMES_LISTED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("there are several services, name one: {names}{more}")
}
