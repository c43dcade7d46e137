//! Validation of backend URLs.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

/// The URL of a backend, in two parts.
#[derive(Debug)]
pub(super) struct Backend {
    /// Scheme and authority, with "/" as the path.
    pub(super) base: Uri,
    /// Path of the URL, without a trailing slash.
    pub(super) base_path: String,
}

/// Rule that a backend URL breaks. The texts continue "the backend {url}".
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("must be a URL such as \"https://orders.internal:8443/v2\"")]
    InvalidUrl,
    #[error("must begin with http://, https:// or h2c://")]
    Scheme,
    #[error("must not contain credentials")]
    Credentials,
    #[error("must not have a query or a fragment")]
    Query,
    #[error("must have a host, and a port from 1 to 65535 if any")]
    Authority,
    #[error("must not contain \".\" or \"..\" segments in its path")]
    Segment,
}

impl Backend {
    pub(super) fn check(url: &str) -> Result<Self, BackendError> {
        if url.contains(['?', '#']) {
            return Err(BackendError::Query);
        }
        let parsed: Uri = url.parse().map_err(|_| BackendError::InvalidUrl)?;
        if !matches!(parsed.scheme_str(), Some("http" | "https" | "h2c")) {
            return Err(BackendError::Scheme);
        }
        let authority = parsed.authority().ok_or(BackendError::Authority)?;
        if authority.as_str().contains('@') {
            return Err(BackendError::Credentials);
        }
        let port = &authority.as_str()[authority.host().len()..];
        let good_port = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
        if authority.host().is_empty() || !good_port {
            return Err(BackendError::Authority);
        }
        let base_path = parsed.path().trim_end_matches('/').to_owned();
        if base_path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(BackendError::Segment);
        }
        let mut parts = parsed.into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let base = Uri::from_parts(parts).map_err(|_| BackendError::InvalidUrl)?;
        Ok(Self { base, base_path })
    }
}
