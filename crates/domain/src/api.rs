//! An API: which calls it gets, by the prefix of their path, and where they go.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::agent::is_host;
use crate::limits;
use crate::name::{ApiName, RegionName};

/// Where a unit tells who it is, whatever its APIs. The cloud's own gateways answer their load
/// balancers there.
pub const STATUS_PATH: &str = "/status-0123456789abcdef";

/// One API of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// Its name, unique in its service.
    pub name: ApiName,
    /// The prefix of the calls that it gets, unique in its service. The longest that fits wins.
    pub path: ApiPath,
    /// Where calls go, in regions without a backend of their own.
    pub backend: BackendUrl,
    /// Where calls go in these regions.
    pub regional: BTreeMap<RegionName, BackendUrl>,
    /// How long its backend may take.
    pub timeouts: Timeouts,
}

impl Api {
    /// Where calls go in `region`.
    #[must_use]
    pub fn backend_in(&self, region: &RegionName) -> &BackendUrl {
        self.regional.get(region).unwrap_or(&self.backend)
    }

    /// Every backend, the default one first.
    pub fn backends(&self) -> impl Iterator<Item = &BackendUrl> {
        std::iter::once(&self.backend).chain(self.regional.values())
    }
}

/// How long a backend may take, in milliseconds, each from 1 to 600,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// For a connection, with TLS where it is https. Default 5 s.
    pub connect_ms: u32,
    /// For the head of its answer, from the call's last byte on. Default 30 s.
    pub response_ms: u32,
    /// For each further part of a body, either way. Default 60 s.
    pub idle_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_ms: 5_000, response_ms: 30_000, idle_ms: 60_000 }
    }
}

/// Why a text is not the path of an API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is not absolute.
    #[error("a path begins with a slash, such as /orders")]
    NotAbsolute,
    /// It is too long.
    #[error("a path has at most {} characters; this one has {length}", limits::API_PATH_CHARS)]
    TooLong {
        /// Characters given.
        length: usize,
    },
    /// It could be read as another path.
    #[error("a path has no segment {segment:?}: callers and backends resolve it differently")]
    DotSegment {
        /// The segment.
        segment: String,
    },
    /// A character has no place in it.
    #[error(
        "{character:?} cannot be in a path: use letters, digits and -._~!$&'()*+,;=:@ between slashes"
    )]
    Character {
        /// The first such character.
        character: char,
    },
    /// Units answer there themselves.
    #[error("{STATUS_PATH} is where units tell who they are")]
    Reserved,
}

/// The prefix of the calls that an API gets: `/orders` gets `/orders`, `/orders/5` and
/// `/orders?open=1`, but not `/ordersx`. `/` gets all that no other API gets.
///
/// Normalised: no empty segments, no slash at the end. Percent-encoding is refused, because the same
/// path could then be written in several ways.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiPath(String);

impl ApiPath {
    /// Normalises `text`.
    ///
    /// # Errors
    /// If it is no absolute path, or one that could be read in several ways.
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

    /// The path itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a path may have it: what RFC 3986 calls `pchar`, without percent-encoding.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(c)
}

/// Why a text is not the URL of a backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Another scheme, or none.
    #[error("a backend begins with http://, https://, or h2c:// for HTTP/2 without TLS")]
    Scheme,
    /// It has a user or a password, which the event log would keep and show.
    #[error("a backend must not have a user or a password in it: the event log would show them")]
    Credentials,
    /// Its host cannot be dialled.
    #[error("{given:?} is not a host name or an IP address")]
    Host {
        /// The host given.
        given: String,
    },
    /// Its port is no port.
    #[error("{given:?} is not a port: use a number from 1 to 65535")]
    Port {
        /// The port given.
        given: String,
    },
    /// It has a query or a fragment, which each call brings itself.
    #[error("a backend has no query and no fragment: calls bring their own")]
    QueryOrFragment,
    /// Its path is not well-formed.
    #[error("the path of a backend: {0}")]
    Path(#[source] PathError),
    /// It is too long.
    #[error("a backend has at most {} characters; this one has {length}", limits::BACKEND_CHARS)]
    TooLong {
        /// Characters given.
        length: usize,
    },
}

/// Where an API's calls go: `http://HOST[:PORT][/PATH]`, or https, or h2c. What follows the API's own
/// path in a call's path is appended to the path here.
///
/// http is HTTP/1.1, https is what the backend chooses of HTTP/1.1 and HTTP/2, and h2c is HTTP/2
/// without TLS and without asking first (RFC 9113, 3.3): only its operator can know that it is spoken.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendUrl(String);

impl BackendUrl {
    /// Normalises `text`: scheme and host in lower case, no slash at the end.
    ///
    /// # Errors
    /// The first rule that it breaks.
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
            return Err(BackendError::Host { given: host.to_owned() });
        }
        let number = |port: &str| port.parse::<u16>().ok().filter(|number| *number > 0);
        if let Some(given) = port.filter(|port| number(port).is_none() || port.starts_with('+')) {
            return Err(BackendError::Port { given: given.to_owned() });
        }
        let path = match path {
            "" => ApiPath("/".to_owned()),
            path => ApiPath::new(path).map_err(BackendError::Path)?,
        };
        let authority = authority.to_ascii_lowercase();
        Ok(Self(format!("{scheme}://{authority}{}", path.as_str().trim_end_matches('/'))))
    }

    /// The URL itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        split_authority(self.authority()).0
    }

    /// The port, given or its scheme's.
    #[must_use]
    pub fn port(&self) -> u16 {
        let of_scheme = if self.0.starts_with("https:") { 443 } else { 80 };
        let given = split_authority(self.authority()).1;
        given.and_then(|port| port.parse().ok()).unwrap_or(of_scheme)
    }

    fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or("")
    }
}

/// Host and port. The colons of an IPv6 address are within its brackets.
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

macro_rules! text {
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

text!(ApiPath, PathError);
text!(BackendUrl, BackendError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (given, normal) in [
            ("/", "/"),
            ("//", "/"),
            ("/orders/", "/orders"),
            ("//a///b", "/a/b"),
            ("/a.b", "/a.b"),
        ] {
            assert_eq!(ApiPath::new(given).expect("is a path").as_str(), normal);
        }
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_refused() {
        for bad in ["", "orders", "/a/../b", "/./a", "/%61", "/a?b", "/a#b", "/a b", "/a\\b", "/ä"]
        {
            assert!(ApiPath::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(ApiPath::new(STATUS_PATH), Err(PathError::Reserved));
    }

    #[test]
    fn a_backend_has_one_form() {
        for (given, normal, host, port) in [
            ("HTTP://Orders.Internal/", "http://orders.internal", "orders.internal", 80),
            ("https://a:8443/v2//x/", "https://a:8443/v2/x", "a", 8443),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]", "[2001:db8::1]", 443),
            ("http://[::1]:99", "http://[::1]:99", "[::1]", 99),
            ("H2C://Orders/v2", "h2c://orders/v2", "orders", 80),
        ] {
            let url = BackendUrl::new(given).expect("is a backend");
            assert_eq!((url.as_str(), url.host(), url.port()), (normal, host, port));
            assert_eq!(
                BackendUrl::new(url.as_str()).as_ref(),
                Ok(&url),
                "a normal form is its own"
            );
        }
    }

    #[test]
    fn what_is_no_backend_is_refused_by_its_rule() {
        let refused = |text| BackendUrl::new(text).expect_err(text);
        assert_eq!(refused("orders:80"), BackendError::Scheme);
        assert_eq!(refused("ftp://a"), BackendError::Scheme);
        assert_eq!(refused("h2://a"), BackendError::Scheme);
        assert_eq!(refused("http://user:secret@a"), BackendError::Credentials);
        assert_eq!(refused("http://a?b"), BackendError::QueryOrFragment);
        assert!(matches!(refused("http://"), BackendError::Host { .. }));
        assert!(matches!(refused("http://a b"), BackendError::Host { .. }));
        for port in ["http://a:0", "http://a:65536", "http://a:+80", "http://a:"] {
            assert!(matches!(refused(port), BackendError::Port { .. }), "{port}");
        }
        assert!(matches!(refused("http://a/../b"), BackendError::Path(_)));
    }
}
