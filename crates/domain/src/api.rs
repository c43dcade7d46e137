//! APIs: a path prefix that selects requests, and the backends that they are forwarded to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::agent::is_host;
use crate::limits;
use crate::name::{ApiName, RegionName};

/// Path of the status endpoint of every unit. The same path as in the cloud's own gateways, whose
/// load balancers probe it.
pub const STATUS_PATH: &str = "/status-0123456789abcdef";

/// An API of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// Name, unique in the service.
    pub name: ApiName,
    /// Path prefix of its requests, unique in the service. The longest matching prefix wins.
    pub path: ApiPath,
    /// Backend in regions without an entry in `regional`.
    pub backend: BackendUrl,
    /// Backends of single regions.
    pub regional: BTreeMap<RegionName, BackendUrl>,
    /// Timeouts of the backends.
    pub timeouts: Timeouts,
}

impl Api {
    /// Returns the backend in `region`.
    #[must_use]
    pub fn backend_in(&self, region: &RegionName) -> &BackendUrl {
        self.regional.get(region).unwrap_or(&self.backend)
    }

    /// Returns all backends, the default one first.
    pub fn backends(&self) -> impl Iterator<Item = &BackendUrl> {
        std::iter::once(&self.backend).chain(self.regional.values())
    }
}

/// Timeouts of a backend in milliseconds, each from 1 to 600,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Timeout for connecting, including the TLS handshake. Default 5 s.
    pub connect_ms: u32,
    /// Timeout for the head of the response, from the last byte of the request. Default 30 s.
    pub response_ms: u32,
    /// Timeout between two parts of a body, in either direction. Default 60 s.
    pub idle_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_ms: 5_000, response_ms: 30_000, idle_ms: 60_000 }
    }
}

/// The text is not a valid API path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is not absolute.
    #[error("path must begin with a slash, such as /orders")]
    NotAbsolute,
    /// The path is too long.
    #[error("path can have at most {} characters, got {length}", limits::API_PATH_CHARS)]
    TooLong {
        /// Actual length in characters.
        length: usize,
    },
    /// The path has a `.` or `..` segment.
    #[error(
        "path must not contain the segment {segment:?}: clients and backends resolve it differently"
    )]
    DotSegment {
        /// Rejected segment.
        segment: String,
    },
    /// The path has an invalid character.
    #[error(
        "path must not contain {character:?}: use letters, digits and -._~!$&'()*+,;=:@ between \
         slashes"
    )]
    Character {
        /// First invalid character.
        character: char,
    },
    /// The path is that of the status endpoint.
    #[error("path {STATUS_PATH} is reserved for the status of units")]
    Reserved,
}

/// Path prefix of an API: `/orders` matches `/orders`, `/orders/5` and `/orders?open=1`, but not
/// `/ordersx`. `/` matches every request that no other API matches.
///
/// Normalized: no empty segments and no trailing slash. Percent-encoding is rejected, because it
/// allows several spellings of one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiPath(String);

impl ApiPath {
    /// Parses and normalizes `text`.
    ///
    /// # Errors
    /// The first rule that `text` violates.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let length = text.chars().count();
        if length > limits::API_PATH_CHARS {
            return Err(PathError::TooLong { length });
        }
        if let Some(character) = text.chars().find(|c| !is_path_character(*c)) {
            return Err(PathError::Character { character });
        }
        let segments = || text.split('/').filter(|segment| !segment.is_empty());
        if let Some(segment) = segments().find(|segment| matches!(*segment, "." | "..")) {
            return Err(PathError::DotSegment { segment: segment.to_owned() });
        }
        let path = segments().fold(String::new(), |path, segment| path + "/" + segment);
        if STATUS_PATH == path {
            return Err(PathError::Reserved);
        }
        Ok(Self(if path.is_empty() { "/".to_owned() } else { path }))
    }

    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns true for a slash or a `pchar` of RFC 3986, without percent-encoding.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(c)
}

/// The text is not a valid backend URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The scheme is missing or unsupported.
    #[error("backend must begin with http://, https://, or h2c:// for HTTP/2 without TLS")]
    Scheme,
    /// The URL has credentials, which would be stored in the event log.
    #[error("backend must not contain a user or password: the event log would show them")]
    Credentials,
    /// The host is invalid.
    #[error("backend has an invalid host {host:?}: use a host name or IP address")]
    Host {
        /// Rejected host.
        host: String,
    },
    /// The port is invalid.
    #[error("backend has an invalid port {port:?}: use a number from 1 to 65535")]
    Port {
        /// Rejected port.
        port: String,
    },
    /// The URL has a query or a fragment.
    #[error("backend must not have a query or fragment: requests have their own")]
    QueryOrFragment,
    /// The path is invalid.
    #[error("backend {0}")]
    Path(#[source] PathError),
    /// The URL is too long.
    #[error("backend can have at most {} characters, got {length}", limits::BACKEND_CHARS)]
    TooLong {
        /// Actual length in characters.
        length: usize,
    },
}

/// URL of a backend: `http://HOST[:PORT][/PATH]`, or with the scheme `https` or `h2c`. The part of
/// the request path after the path of the API is appended to the path of the URL.
///
/// `http` is HTTP/1.1, `https` negotiates HTTP/1.1 or HTTP/2, and `h2c` is HTTP/2 without TLS and
/// with prior knowledge (RFC 9113, section 3.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendUrl(String);

impl BackendUrl {
    /// Parses and normalizes `text`: scheme and host in lowercase, no trailing slash.
    ///
    /// # Errors
    /// The first rule that `text` violates.
    pub fn new(text: &str) -> Result<Self, BackendError> {
        let length = text.chars().count();
        if length > limits::BACKEND_CHARS {
            return Err(BackendError::TooLong { length });
        }
        let (scheme, rest) = text.split_once("://").ok_or(BackendError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "h2c") {
            return Err(BackendError::Scheme);
        }
        if rest.contains(['?', '#']) {
            return Err(BackendError::QueryOrFragment);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BackendError::Credentials);
        }
        let (host, port) = split_authority(authority);
        if !is_host(host) {
            return Err(BackendError::Host { host: host.to_owned() });
        }
        let number = |port: &str| port.parse::<u16>().ok().filter(|number| *number > 0);
        if let Some(port) = port.filter(|port| number(port).is_none() || port.starts_with('+')) {
            return Err(BackendError::Port { port: port.to_owned() });
        }
        let path = match path {
            "" => ApiPath("/".to_owned()),
            path => ApiPath::new(path).map_err(BackendError::Path)?,
        };
        let authority = authority.to_ascii_lowercase();
        Ok(Self(format!("{scheme}://{authority}{}", path.as_str().trim_end_matches('/'))))
    }

    /// Returns the URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host. An IPv6 address has its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        split_authority(self.authority()).0
    }

    /// Returns the port, by default that of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.0.starts_with("https:") { 443 } else { 80 };
        let explicit = split_authority(self.authority()).1;
        explicit.and_then(|port| port.parse().ok()).unwrap_or(default)
    }

    fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or("")
    }
}

/// Splits an authority into host and port. The colons of an IPv6 address are inside its brackets.
fn split_authority(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

macro_rules! impl_text {
    ($name:ident, $error:ident) => {
        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                Self::new(&text)
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

impl_text!(ApiPath, PathError);
impl_text!(BackendUrl, BackendError);
