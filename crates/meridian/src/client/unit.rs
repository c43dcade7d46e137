//! `meridian unit list`.

use super::failure::Failure;
use super::lookup;
use super::session::Session;

/// Prints the units of the named service, or of all.
///
/// # Errors
/// As [`lookup::units`].
pub async fn list(session: &Session) -> Result<(), Failure> {
    let service = session.global.service.as_deref().unwrap_or_default();
    session.output.list(&lookup::units(session, service).await?)
}
