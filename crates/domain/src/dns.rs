//! Settings of the name servers that the agents run. They are replicated, so that no two name servers
//! contradict each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::name::{AgentName, RegionName, ServiceName};

/// Names below a DNS zone that no service can have, because they are the parents of other names.
pub const RESERVED_NAMES: [&str; 2] = ["regional", "ns"];

/// Settings of the name servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsSettings {
    /// Zone that the name servers are authoritative for; they serve no names without one.
    pub zone: Option<DnsZone>,
    /// Time to live of responses in seconds, from 1 to [`limits::MAX_TTL_SECONDS`]. Default 5.
    pub ttl_seconds: u8,
    /// Number of further regions whose addresses a response contains, after those of the first one:
    /// at most [`limits::MAX_FALLBACK_REGIONS`]. Default 0, because clients choose among all
    /// addresses of a response at random.
    pub fallback_regions: u8,
    /// Agents listed as the name servers of the zone, at most [`limits::NAME_SERVERS`]. Empty for one
    /// agent in each region.
    pub name_servers: Vec<AgentName>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { zone: None, ttl_seconds: 5, fallback_regions: 0, name_servers: Vec::new() }
    }
}

/// Name of a DNS zone in lowercase, without the final dot, such as `gateways.example.net`: at least
/// one label of letters, digits, hyphens and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsZone(String);

/// The text is not the name of a DNS zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid DNS zone {text:?}: use labels of 1 to 63 letters, digits and hyphens separated by dots, \
     such as gateways.example.net, at most {} characters",
    limits::DNS_ZONE_CHARS
)]
pub struct InvalidDnsZone {
    /// Rejected text, truncated to 80 characters.
    pub text: String,
}

impl DnsZone {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of a service in one region.
    #[must_use]
    pub fn regional_name(&self, service: &ServiceName, region: &RegionName) -> String {
        format!("{region}.{service}.regional.{self}")
    }

    /// Returns true if a host name is the zone or below it.
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let parent = host.strip_suffix(self.as_str());
        parent.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for DnsZone {
    type Err = InvalidDnsZone;

    fn from_str(text: &str) -> Result<Self, InvalidDnsZone> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(allowed)
        };
        if name.len() <= limits::DNS_ZONE_CHARS && name.split('.').all(is_label) {
            return Ok(Self(name));
        }
        Err(InvalidDnsZone { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for DnsZone {
    type Error = InvalidDnsZone;

    fn try_from(text: String) -> Result<Self, InvalidDnsZone> {
        text.parse()
    }
}

impl From<DnsZone> for String {
    fn from(zone: DnsZone) -> Self {
        zone.0
    }
}

impl fmt::Display for DnsZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DnsZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
