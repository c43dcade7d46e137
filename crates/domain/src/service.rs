//! A service and its table of locations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Revision, Zones};
use crate::name::{RegionName, ServiceName};
use crate::tier::Tier;

/// One row of a service's table of locations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Units wanted there, at least one.
    pub units: u16,
    /// The zones that the units are spread over; empty for no zones.
    pub zones: Zones,
    /// Whether callers are served there.
    pub gateway_enabled: bool,
    /// Units assigned before this event are to be replaced, one after another; 0 where none are.
    pub rolled: Revision,
}

/// One API service instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique in the cluster.
    pub name: ServiceName,
    /// Its tier.
    pub tier: Tier,
    /// The region that it was born in or that was promoted since; always one of the locations.
    pub primary: RegionName,
    /// The TCP port of its gateways, the same in every region, unique in the cluster.
    pub port: u16,
    /// Its locations, the primary among them.
    pub locations: BTreeMap<RegionName, Location>,
    /// The last event that changed its configuration. Unit, agent and routing events do not count.
    pub revision: Revision,
    /// The last event that changed what its units serve.
    pub configuration: Revision,
}

impl Location {
    /// A location as it is when it is added.
    #[must_use]
    pub fn new(units: u16, zones: Zones) -> Self {
        Self { units, zones, gateway_enabled: true, rolled: Revision(0) }
    }
}

impl Service {
    /// Units wanted in all locations together.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.locations.values().map(|location| u32::from(location.units)).sum()
    }
}
