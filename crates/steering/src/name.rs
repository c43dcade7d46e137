//! Names in wire format, and their meaning below the zone.

use std::str;

use meridian_domain::{AgentName, RegionName, ServiceName};

/// Maximum length of a name in wire format (RFC 1035, section 2.3.4).
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// A name in wire format: lowercase and uncompressed, with the root label.
#[derive(Debug, Clone)]
pub(crate) struct WireName {
    bytes: [u8; MAX_NAME_BYTES],
    length: usize,
}

impl WireName {
    /// Copies a well-formed name; `None` if it is too long.
    pub(crate) fn lowercase(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_NAME_BYTES];
        let copy = bytes.get_mut(..name.len())?;
        copy.copy_from_slice(name);
        // The length of a label is at most 63, which is no uppercase letter.
        copy.make_ascii_lowercase();
        Some(Self { bytes, length: name.len() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Returns true if this name is a zone in wire format, or below it.
    pub(crate) fn is_in(&self, zone: &[u8]) -> bool {
        let mut rest = self.as_bytes();
        while rest.len() > zone.len() {
            // A label is within the name.
            rest = rest.get(1 + usize::from(rest[0])..).unwrap_or_default();
        }
        rest == zone
    }

    /// Returns the labels of this name below a zone in wire format, the leftmost first, or `None` if
    /// the name is not in the zone.
    pub(crate) fn below<'a>(&'a self, zone: &[u8]) -> Option<Vec<&'a [u8]>> {
        let mut rest = self.as_bytes();
        let mut labels = Vec::new();
        while rest.len() > zone.len() {
            let (length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked((*length).into())?;
            labels.push(label);
            rest = after;
        }
        (rest == zone).then_some(labels)
    }
}

/// Meaning of a name below the zone. Whether its service, region or agent exists is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The zone itself.
    Apex,
    /// `SERVICE`.
    Service(ServiceName),
    /// `_tcp.SERVICE`: an empty non-terminal.
    Transport(ServiceName),
    /// `_http._tcp.SERVICE`.
    Http(ServiceName),
    /// `regional`: an empty non-terminal.
    Regional,
    /// `SERVICE.regional`: an empty non-terminal.
    RegionalService(ServiceName),
    /// `REGION.SERVICE.regional`.
    Region(ServiceName, RegionName),
    /// `ns`: an empty non-terminal.
    NameServers,
    /// `AGENT.ns`.
    NameServer(AgentName),
}

impl Target {
    /// Returns the meaning of a name by its labels below the zone, or `None` if it never has one.
    pub(crate) fn of(labels: &[&[u8]]) -> Option<Self> {
        fn parse<T: str::FromStr>(label: &[u8]) -> Option<T> {
            str::from_utf8(label).ok()?.parse().ok()
        }
        match labels {
            [] => Some(Self::Apex),
            [b"regional"] => Some(Self::Regional),
            [service, b"regional"] => Some(Self::RegionalService(parse(service)?)),
            [region, service, b"regional"] => Some(Self::Region(parse(service)?, parse(region)?)),
            [b"ns"] => Some(Self::NameServers),
            [agent, b"ns"] => Some(Self::NameServer(parse(agent)?)),
            [_, .., b"regional" | b"ns"] => None,
            [service] => Some(Self::Service(parse(service)?)),
            [b"_tcp", service] => Some(Self::Transport(parse(service)?)),
            [b"_http", b"_tcp", service] => Some(Self::Http(parse(service)?)),
            _ => None,
        }
    }

    /// Returns the service that the answer depends on.
    pub(crate) fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Service(service)
            | Self::Transport(service)
            | Self::Http(service)
            | Self::RegionalService(service)
            | Self::Region(service, _) => Some(service),
            Self::Apex | Self::Regional | Self::NameServers | Self::NameServer(_) => None,
        }
    }

    /// Returns false for an empty non-terminal.
    pub(crate) fn has_records(&self) -> bool {
        match self {
            Self::Apex
            | Self::Service(_)
            | Self::Http(_)
            | Self::Region(_, _)
            | Self::NameServer(_) => true,
            Self::Transport(_) | Self::Regional | Self::RegionalService(_) | Self::NameServers => {
                false
            }
        }
    }
}
