//! Where a call goes, and what with.

use std::sync::Arc;

use hyper::header::HeaderValue;

use crate::caller::Caller;
use crate::configuration::Api;
use crate::via::Via;

/// What a call is forwarded with.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) api: Arc<Api>,
    /// The host that the caller asked for.
    pub(crate) host: Option<HeaderValue>,
    /// What this unit adds to `Via`.
    pub(crate) via: &'a Via,
    /// Who called.
    pub(crate) caller: &'a Caller,
    /// The longest body that the call may have, in bytes.
    pub(crate) body_bytes: u64,
}
