//! What a unit serves: the agent's configuration, checked and made ready for use.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use meridian_proto::v1::{AccessLog, GatewayApi, GatewayConfiguration};

use crate::backends::Origin;
use crate::limits::Limits;
use crate::metrics::{Counters, Metrics};
use backend::Backend;

mod backend;

/// APIs of a configuration.
const MOST_APIS: usize = 256;
/// The longest time-out, in milliseconds.
const LONGEST_TIMEOUT_MS: u32 = 10 * 60 * 1000;

/// What a unit serves. Each worker has its own: what calls count on their way, such as who uses an
/// API, does not pass from one core to the other.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) revision: u64,
    pub(crate) enabled: bool,
    pub(crate) limits: Limits,
    pub(crate) access_log: AccessLog,
    /// Those with the longest paths first.
    apis: Vec<Arc<Api>>,
}

/// An API as this unit serves it. Aligned so that those of two workers never share a line of a cache.
#[derive(Debug, Clone)]
#[repr(align(128))]
pub(crate) struct Api {
    pub(crate) name: String,
    /// The prefix of its calls; empty for "/".
    prefix: String,
    /// What the prefix is replaced by, without a slash at its end.
    pub(crate) base_path: String,
    pub(crate) origin: Arc<Origin>,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
}

/// How long an API's backend may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For the head of the answer, from the call's last byte on.
    pub(crate) response: Duration,
    /// For each further part of a body, either way.
    pub(crate) idle: Duration,
}

/// Which rule a configuration breaks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    #[error("the request carries no configuration")]
    Missing,
    #[error("there are {apis} APIs: at most {MOST_APIS} are allowed")]
    TooManyApis { apis: usize },
    #[error("API {name:?}: {rule}")]
    Api { name: String, rule: ApiRule },
}

/// What is wrong with an API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiRule {
    #[error("an API needs a name")]
    NoName,
    #[error("another API has the same name")]
    SameName,
    #[error("the path {0:?} must start with \"/\"")]
    NoSlash(String),
    #[error("the path {0:?} must not have empty, \".\" or \"..\" segments, nor end with \"/\"")]
    Segment(String),
    #[error("the path {0:?} must be made of the characters of a URL's path")]
    Characters(String),
    #[error("another API has the path {0:?}")]
    SamePath(String),
    #[error("the backend {url:?} {rule}")]
    Backend { url: String, rule: backend::BackendRule },
    #[error("{name} is {value} ms: it must be from 1 ms to {LONGEST_TIMEOUT_MS} ms")]
    Timeout { name: &'static str, value: u32 },
}

impl Configuration {
    /// Checks `given`. Backends that `previous` had too keep their connections.
    pub(crate) fn check(
        given: GatewayConfiguration,
        previous: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, ConfigurationError> {
        if given.apis.len() > MOST_APIS {
            return Err(ConfigurationError::TooManyApis { apis: given.apis.len() });
        }
        let mut apis: Vec<Arc<Api>> = Vec::with_capacity(given.apis.len());
        let access_log = given.access_log();
        for api in given.apis {
            let name = api.name.clone();
            let api = Api::check(api, &apis, previous, metrics)
                .map_err(|rule| ConfigurationError::Api { name, rule })?;
            apis.push(Arc::new(api));
        }
        apis.sort_by_key(|api| std::cmp::Reverse(api.prefix.len()));
        let previous = previous.map(|previous| &previous.limits);
        let limits = Limits::new(given.limits.unwrap_or_default(), previous);
        Ok(Self { revision: given.revision, enabled: given.enabled, limits, access_log, apis })
    }

    /// The same for another worker. Backends that its `previous` one had too keep their connections.
    pub(crate) fn for_another_worker(&self, previous: Option<&Self>) -> Self {
        let mut apis: Vec<Arc<Api>> = Vec::with_capacity(self.apis.len());
        for api in &self.apis {
            let new = || Arc::new(api.origin.for_another_worker());
            let origin = known(&apis, previous, api.origin.base()).unwrap_or_else(new);
            apis.push(Arc::new(Api { origin, ..Api::clone(api) }));
        }
        let &Self { revision, enabled, ref limits, access_log, .. } = self;
        Self { revision, enabled, limits: limits.clone(), access_log, apis }
    }

    /// The API that gets the calls to `path`.
    pub(crate) fn route(&self, path: &str) -> Option<&Arc<Api>> {
        self.apis.iter().find(|api| {
            let rest = path.strip_prefix(api.prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    pub(crate) fn apis(&self) -> &[Arc<Api>] {
        &self.apis
    }

    /// The backends of its APIs; one that several have comes several times.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &Arc<Origin>> {
        self.apis.iter().map(|api| &api.origin)
    }
}

/// The backend at `base`, where one of `apis` or of those that were served before has it.
fn known(apis: &[Arc<Api>], previous: Option<&Configuration>, base: &Uri) -> Option<Arc<Origin>> {
    let mut known = apis.iter().chain(previous.into_iter().flat_map(Configuration::apis));
    known.find(|api| api.origin.base() == base).map(|api| Arc::clone(&api.origin))
}

impl Api {
    /// What follows the prefix in the `path` of one of its calls.
    pub(crate) fn rest<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.prefix.as_str()).unwrap_or(path)
    }

    fn check(
        given: GatewayApi,
        others: &[Arc<Self>],
        previous: Option<&Configuration>,
        metrics: &Metrics,
    ) -> Result<Self, ApiRule> {
        if given.name.is_empty() {
            return Err(ApiRule::NoName);
        }
        if others.iter().any(|other| other.name == given.name) {
            return Err(ApiRule::SameName);
        }
        let prefix = check_path(&given.path)?;
        if others.iter().any(|other| other.prefix == prefix) {
            return Err(ApiRule::SamePath(given.path));
        }
        let timeouts = Timeouts {
            connect: check_timeout("connect_timeout_ms", given.connect_timeout_ms)?,
            response: check_timeout("response_timeout_ms", given.response_timeout_ms)?,
            idle: check_timeout("idle_timeout_ms", given.idle_timeout_ms)?,
        };
        let Backend { base, base_path } = Backend::check(&given.backend)
            .map_err(|rule| ApiRule::Backend { url: given.backend.clone(), rule })?;
        let origin = known(others, previous, &base);
        let origin = origin.unwrap_or_else(|| Arc::new(Origin::new(base)));
        let prefix = prefix.to_owned();
        let counters = metrics.counters(&given.name);
        Ok(Self { name: given.name, prefix, base_path, origin, timeouts, counters })
    }
}

/// The prefix that `path` stands for.
fn check_path(path: &str) -> Result<&str, ApiRule> {
    let Some(segments) = path.strip_prefix('/') else {
        return Err(ApiRule::NoSlash(path.to_owned()));
    };
    if segments.is_empty() {
        return Ok("");
    }
    if segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(ApiRule::Segment(path.to_owned()));
    }
    if !segments.bytes().all(is_path_byte) {
        return Err(ApiRule::Characters(path.to_owned()));
    }
    Ok(path)
}

/// Whether `byte` may be in a path as of RFC 3986, slashes and percent-encoding included.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

fn check_timeout(name: &'static str, value: u32) -> Result<Duration, ApiRule> {
    if (1..=LONGEST_TIMEOUT_MS).contains(&value) {
        Ok(Duration::from_millis(value.into()))
    } else {
        Err(ApiRule::Timeout { name, value })
    }
}

#[cfg(test)]
#[path = "configuration/tests.rs"]
mod tests;
