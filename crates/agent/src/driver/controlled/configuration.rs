//! Conversion of a configuration into the message of the control protocol.

use meridian_domain::Configuration;
use meridian_domain::configuration::ConfiguredApi;
use meridian_proto::v1;

use crate::driver::{AccessLog, UnitLimits};

/// Builds the complete configuration of a unit.
pub(super) fn message(
    configuration: &Configuration,
    limits: &UnitLimits,
) -> v1::GatewayConfiguration {
    let access_log = match limits.access_log {
        AccessLog::Off => v1::AccessLog::Off,
        AccessLog::Path => v1::AccessLog::Path,
        AccessLog::Query => v1::AccessLog::Query,
    };
    v1::GatewayConfiguration {
        revision: configuration.revision.0,
        enabled: configuration.enabled,
        apis: configuration.apis.iter().map(api).collect(),
        limits: Some(v1::GatewayLimits {
            concurrent_requests: limits.concurrent_requests,
            requests_per_second: limits.requests_per_second,
            header_bytes: limits.header_bytes,
            body_bytes: limits.body_bytes,
            header_timeout_ms: limits.header_timeout_ms,
        }),
        access_log: access_log.into(),
        redirect: configuration.redirect.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn api(api: &ConfiguredApi) -> v1::GatewayApi {
    v1::GatewayApi {
        name: api.name.to_string(),
        path: api.path.to_string(),
        backend: api.backend.to_string(),
        connect_timeout_ms: api.timeouts.connect_ms,
        response_timeout_ms: api.timeouts.response_ms,
        idle_timeout_ms: api.timeouts.idle_ms,
    }
}
