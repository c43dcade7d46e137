//! Working copy of a service while a change set is applied.

use std::collections::BTreeMap;

use crate::api::Api;
use crate::name::ApiName;
use crate::service::Service;

/// A service with its APIs.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) service: Service,
    pub(super) apis: BTreeMap<ApiName, Api>,
}
