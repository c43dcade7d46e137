//! Configuration of a unit: validates what the agent sent and prepares it for use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Uri;
use meridian_proto::v1::{AccessLog, GatewayApi, GatewayConfiguration};

use crate::backends::Origin;
use crate::limits::Limits;
use crate::metrics::{Counters, Metrics};
use crate::redirect::RedirectTarget;
use backend::Backend;

mod backend;

/// Time for which a gateway that was just disabled still serves, and closes its connections.
const LEAVING: Duration = Duration::from_secs(2);
/// Maximum number of APIs in a configuration.
const MAX_APIS: usize = 256;
/// Maximum timeout, in milliseconds.
const MAX_TIMEOUT_MS: u32 = 10 * 60 * 1000;

/// Configuration of a unit. Each worker has its own copy, so that what requests update, such as the
/// reference counts of APIs, is not shared between cores.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) revision: u64,
    enabled: bool,
    /// Time until which a gateway that was just disabled still serves, so that clients on open
    /// connections are told to leave before they are refused.
    leaves_until: Option<Instant>,
    /// Gateways to which clients are redirected while the gateway is disabled.
    redirect: Option<RedirectTarget>,
    pub(crate) limits: Limits,
    pub(crate) access_log: AccessLog,
    /// In descending order of path length.
    apis: Vec<Arc<Api>>,
}

/// An API as this unit serves it. Aligned so that the copies of two workers never share a cache
/// line.
#[derive(Debug, Clone)]
#[repr(align(128))]
pub(crate) struct Api {
    pub(crate) name: String,
    /// Path prefix of the API's requests; empty for "/".
    prefix: String,
    /// Path that replaces the prefix, without a trailing slash.
    pub(crate) base_path: String,
    pub(crate) origin: Arc<Origin>,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
}

/// Timeouts of an API's backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Timeout for establishing a connection.
    pub(crate) connect: Duration,
    /// Timeout for the head of the response, from the last byte of the request on.
    pub(crate) response: Duration,
    /// Idle timeout for each further part of a request or response body.
    pub(crate) idle: Duration,
}

/// Rule that a configuration breaks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    #[error("the request has no configuration")]
    Missing,
    #[error("too many APIs: {apis}, maximum {MAX_APIS}")]
    TooManyApis { apis: usize },
    #[error("the redirect {0:?} must be a host name and a port")]
    Redirect(String),
    #[error("API {name:?}: {error}")]
    Api { name: String, error: ApiError },
}

/// Rule that an API breaks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the name must not be empty")]
    EmptyName,
    #[error("duplicate name")]
    DuplicateName,
    #[error("the path {0:?} must start with \"/\"")]
    MissingSlash(String),
    #[error("the path {0:?} must not contain empty, \".\" or \"..\" segments or end with \"/\"")]
    Segment(String),
    #[error("the path {0:?} contains characters that are not allowed in a URL path")]
    Characters(String),
    #[error("duplicate path {0:?}")]
    DuplicatePath(String),
    #[error("the backend {url:?} {error}")]
    Backend { url: String, error: backend::BackendError },
    #[error("{name} must be from 1 ms to {MAX_TIMEOUT_MS} ms, not {value} ms")]
    Timeout { name: &'static str, value: u32 },
}

impl Configuration {
    /// Validates `message`. Backends that are also in `previous` keep their connections.
    pub(crate) fn check(
        message: GatewayConfiguration,
        previous: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, ConfigurationError> {
        if message.apis.len() > MAX_APIS {
            return Err(ConfigurationError::TooManyApis { apis: message.apis.len() });
        }
        let mut apis: Vec<Arc<Api>> = Vec::with_capacity(message.apis.len());
        let access_log = message.access_log();
        for api in message.apis {
            let name = api.name.clone();
            let api = Api::check(api, &apis, previous, metrics)
                .map_err(|error| ConfigurationError::Api { name, error })?;
            apis.push(Arc::new(api));
        }
        let redirect = check_redirect(message.redirect)?;
        apis.sort_by_key(|api| std::cmp::Reverse(api.prefix.len()));
        let (revision, enabled) = (message.revision, message.enabled);
        let leaves_until = match previous {
            Some(previous) if previous.enabled && !enabled => Some(Instant::now() + LEAVING),
            Some(previous) if !enabled => previous.leaves_until,
            Some(_) | None => None,
        };
        let previous = previous.map(|previous| &previous.limits);
        let limits = Limits::new(message.limits.unwrap_or_default(), previous);
        Ok(Self { revision, enabled, leaves_until, redirect, limits, access_log, apis })
    }

    /// Returns true if the gateway is enabled.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the time until which a gateway that was disabled still serves; `None` if it is enabled, or
    /// was never enabled.
    pub(crate) fn leaves_until(&self) -> Option<Instant> {
        self.leaves_until
    }

    /// Returns true if the gateway serves: it is enabled, or was disabled a moment ago.
    pub(crate) fn serves(&self) -> bool {
        self.enabled || self.leaves_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns the gateways to which clients are redirected while the gateway is disabled; `None` if
    /// they are refused.
    pub(crate) fn redirect(&self) -> Option<&RedirectTarget> {
        self.redirect.as_ref()
    }

    /// Copies the configuration for another worker. Backends that are also in that worker's
    /// `previous` configuration keep their connections.
    pub(crate) fn for_another_worker(&self, previous: Option<&Self>) -> Self {
        let mut apis: Vec<Arc<Api>> = Vec::with_capacity(self.apis.len());
        for api in &self.apis {
            let new = || Arc::new(api.origin.for_another_worker());
            let origin = find_origin(&apis, previous, api.origin.base()).unwrap_or_else(new);
            apis.push(Arc::new(Api { origin, ..Api::clone(api) }));
        }
        let &Self { revision, enabled, leaves_until, access_log, .. } = self;
        let (redirect, limits) = (self.redirect.clone(), self.limits.clone());
        Self { revision, enabled, leaves_until, redirect, limits, access_log, apis }
    }

    /// Returns the API that serves `path`.
    pub(crate) fn route(&self, path: &str) -> Option<&Arc<Api>> {
        self.apis.iter().find(|api| {
            let suffix = path.strip_prefix(api.prefix.as_str());
            suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('/'))
        })
    }

    pub(crate) fn apis(&self) -> &[Arc<Api>] {
        &self.apis
    }

    /// Returns the backend of each API. A backend that several APIs share is repeated.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &Arc<Origin>> {
        self.apis.iter().map(|api| &api.origin)
    }
}

/// Returns the backend at `base` if one of `apis` or of the previous configuration has it.
fn find_origin(
    apis: &[Arc<Api>],
    previous: Option<&Configuration>,
    base: &Uri,
) -> Option<Arc<Origin>> {
    let mut candidates = apis.iter().chain(previous.into_iter().flat_map(Configuration::apis));
    candidates.find(|api| api.origin.base() == base).map(|api| Arc::clone(&api.origin))
}

impl Api {
    /// Returns the part of `path` after the API's prefix.
    pub(crate) fn suffix<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.prefix.as_str()).unwrap_or(path)
    }

    fn check(
        message: GatewayApi,
        others: &[Arc<Self>],
        previous: Option<&Configuration>,
        metrics: &Metrics,
    ) -> Result<Self, ApiError> {
        if message.name.is_empty() {
            return Err(ApiError::EmptyName);
        }
        if others.iter().any(|other| other.name == message.name) {
            return Err(ApiError::DuplicateName);
        }
        let prefix = check_path(&message.path)?;
        if others.iter().any(|other| other.prefix == prefix) {
            return Err(ApiError::DuplicatePath(message.path));
        }
        let timeouts = Timeouts {
            connect: check_timeout("connect_timeout_ms", message.connect_timeout_ms)?,
            response: check_timeout("response_timeout_ms", message.response_timeout_ms)?,
            idle: check_timeout("idle_timeout_ms", message.idle_timeout_ms)?,
        };
        let Backend { base, base_path } = Backend::check(&message.backend)
            .map_err(|error| ApiError::Backend { url: message.backend.clone(), error })?;
        let origin = find_origin(others, previous, &base);
        let origin = origin.unwrap_or_else(|| Arc::new(Origin::new(base)));
        let prefix = prefix.to_owned();
        let counters = metrics.counters(&message.name);
        Ok(Self { name: message.name, prefix, base_path, origin, timeouts, counters })
    }
}

fn check_redirect(text: String) -> Result<Option<RedirectTarget>, ConfigurationError> {
    if text.is_empty() {
        return Ok(None);
    }
    RedirectTarget::check(&text).map(Some).ok_or(ConfigurationError::Redirect(text))
}

/// Validates `path` and returns the prefix that it denotes.
fn check_path(path: &str) -> Result<&str, ApiError> {
    let Some(segments) = path.strip_prefix('/') else {
        return Err(ApiError::MissingSlash(path.to_owned()));
    };
    if segments.is_empty() {
        return Ok("");
    }
    if segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(ApiError::Segment(path.to_owned()));
    }
    if !segments.bytes().all(is_path_byte) {
        return Err(ApiError::Characters(path.to_owned()));
    }
    Ok(path)
}

/// Returns true if `byte` is allowed in a path (RFC 3986), including slashes and percent-encoding.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

fn check_timeout(name: &'static str, value: u32) -> Result<Duration, ApiError> {
    if (1..=MAX_TIMEOUT_MS).contains(&value) {
        Ok(Duration::from_millis(value.into()))
    } else {
        Err(ApiError::Timeout { name, value })
    }
}

#[cfg(test)]
#[path = "configuration/tests.rs"]
mod tests;
