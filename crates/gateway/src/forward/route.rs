//! Destination and context of a request that is forwarded.

use std::sync::Arc;

use hyper::header::HeaderValue;

use crate::client_connection::ClientConnection;
use crate::configuration::Api;
use crate::via_header::ViaHeader;

/// Destination and context of a request that is forwarded.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) api: Arc<Api>,
    /// Host that the client requested.
    pub(crate) host: Option<HeaderValue>,
    /// `Via` entries of this unit.
    pub(crate) via: &'a ViaHeader,
    /// The client that sent the request.
    pub(crate) client: &'a ClientConnection,
    /// Maximum size of the request body, in bytes.
    pub(crate) body_bytes: u64,
}
