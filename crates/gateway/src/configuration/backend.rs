//! The URL of a backend.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

/// The URL of a backend, in two parts.
#[derive(Debug)]
pub(super) struct Backend {
    /// Scheme and authority, with "/" as its path.
    pub(super) base: Uri,
    /// Its path, without a slash at its end.
    pub(super) base_path: String,
}

/// What is wrong with a backend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendRule {
    #[error("must be a URL such as \"https://orders.internal:8443/v2\"")]
    NoUrl,
    #[error("must begin with http://, https:// or h2c://")]
    Scheme,
    #[error("must not hold credentials")]
    Credentials,
    #[error("must not have a query or a fragment")]
    Query,
    #[error("must have a host and, if any, a port from 1 to 65535")]
    Authority,
    #[error("must not have \".\" or \"..\" segments in its path")]
    Segment,
}

impl Backend {
    pub(super) fn check(url: &str) -> Result<Self, BackendRule> {
        if url.contains(['?', '#']) {
            return Err(BackendRule::Query);
        }
        let parsed: Uri = url.parse().map_err(|_| BackendRule::NoUrl)?;
        if !matches!(parsed.scheme_str(), Some("http" | "https" | "h2c")) {
            return Err(BackendRule::Scheme);
        }
        let authority = parsed.authority().ok_or(BackendRule::Authority)?;
        if authority.as_str().contains('@') {
            return Err(BackendRule::Credentials);
        }
        let port = &authority.as_str()[authority.host().len()..];
        let good_port = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
        if authority.host().is_empty() || !good_port {
            return Err(BackendRule::Authority);
        }
        let base_path = parsed.path().trim_end_matches('/').to_owned();
        if base_path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(BackendRule::Segment);
        }
        let mut parts = parsed.into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let base = Uri::from_parts(parts).map_err(|_| BackendRule::NoUrl)?;
        Ok(Self { base, base_path })
    }
}
