//! `meridian unit list`.

use meridian_proto::v1;
use meridian_proto::v1::services_client::ServicesClient;

use super::failure::Failure;
use super::session::{LARGEST_ANSWER_BYTES, Session};
use super::view::UnitView;

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
        let client = ServicesClient::new(channel);
        client.max_decoding_message_size(LARGEST_ANSWER_BYTES).list_units(request).await
    });
    Ok(answer.await?.units.into_iter().map(UnitView::from).collect())
}

/// Prints the units of the named service, or of all.
///
/// # Errors
/// As [`units`].
pub async fn list(session: &Session) -> Result<(), Failure> {
    let service = session.global.service.as_deref().unwrap_or_default();
    session.output.list(&units(session, service).await?)
}
