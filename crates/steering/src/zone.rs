//! The zone that the servers of a cluster are authoritative for.

use hickory_proto::ProtoError;
use hickory_proto::rr::Name;
use meridian_domain::{AgentName, DnsSettings, DnsZone, RegionName, ServiceName};

/// A zone, and the names below it.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    pub(crate) name: DnsZone,
    /// The name in wire format.
    pub(crate) wire: Vec<u8>,
    pub(crate) apex: Name,
    /// Time to live of records in seconds, except of name servers and their addresses.
    pub(crate) ttl: u32,
}

impl Zone {
    /// Returns the zone of the settings, if they have one.
    pub(crate) fn of(settings: &DnsSettings) -> Option<Self> {
        let name = settings.zone.clone()?;
        let mut wire = Vec::new();
        for label in name.as_str().split('.') {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        let labels = name.as_str().split('.').map(str::as_bytes);
        let apex = Name::from_labels(labels).expect("a DNS zone has valid labels");
        Some(Self { name, wire, apex, ttl: settings.ttl_seconds.into() })
    }

    /// Returns the name with these labels below the zone.
    ///
    /// # Errors
    /// If it is too long.
    pub(crate) fn child(&self, labels: &[&[u8]]) -> Result<Name, ProtoError> {
        Name::from_labels(labels.iter().copied())?.append_domain(&self.apex)
    }

    /// Returns the name of an agent as a name server.
    pub(crate) fn name_server(&self, agent: &AgentName) -> Result<Name, ProtoError> {
        self.child(&[agent.as_str().as_bytes(), b"ns"])
    }

    /// Returns the name of a service in one region.
    pub(crate) fn region(
        &self,
        service: &ServiceName,
        region: &RegionName,
    ) -> Result<Name, ProtoError> {
        self.child(&[region.as_str().as_bytes(), service.as_str().as_bytes(), b"regional"])
    }

    /// Returns a name that is `length` bytes longer than the zone in wire format and, apart from the
    /// zone, has no labels in common with a name in a response, which cannot consist of hyphens.
    ///
    /// # Errors
    /// If no name is so long.
    pub(crate) fn placeholder(&self, length: usize) -> Result<Name, ProtoError> {
        const LABEL: [u8; 63] = [b'-'; 63];
        let mut labels = Vec::new();
        let mut left = length;
        while left > 0 {
            // A label of at least one byte remains.
            let label = if left == LABEL.len() + 2 { left - 3 } else { left - 1 }.min(LABEL.len());
            labels.push(&LABEL[..label]);
            left -= label + 1;
        }
        self.child(&labels)
    }
}
