//! Services and their locations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Revision, Zones};
use crate::name::{RegionName, ServiceName};
use crate::routing_policy::{Preference, RoutingPolicy};
use crate::tier::Tier;
use crate::when_disabled::WhenDisabled;

/// A location of a service: its units in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Desired number of units, at least 1.
    pub units: u16,
    /// Zones that the units are spread over; empty for no zones.
    pub zones: Zones,
    /// Set if the gateways serve clients.
    pub gateway_enabled: bool,
    /// Revision of the last roll: units assigned before it are replaced one after another. 0 if the
    /// location was never rolled.
    pub rolled: Revision,
    /// Preference of clients for the location.
    pub preference: Preference,
}

/// An API service instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Name, unique in the cluster.
    pub name: ServiceName,
    /// Tier, which limits units and regions.
    pub tier: Tier,
    /// Primary region: the one that the service was created in or that was promoted since. Always
    /// one of the locations.
    pub primary: RegionName,
    /// TCP port of its gateways, the same in every region, unique in the cluster.
    pub port: u16,
    /// Policy that chooses the region of a client.
    pub routing: RoutingPolicy,
    /// Responses of its gateways where they are disabled.
    pub when_disabled: WhenDisabled,
    /// Locations, including the primary one.
    pub locations: BTreeMap<RegionName, Location>,
    /// Revision of the last event that changed the service as operators save it. Unit, agent and
    /// routing events do not count.
    pub revision: Revision,
    /// Revision of the last event that changed the configuration of its units.
    pub configuration: Revision,
}

impl Location {
    /// Creates a location with enabled gateways and the default preference.
    #[must_use]
    pub fn new(units: u16, zones: Zones) -> Self {
        let (rolled, preference) = (Revision(0), Preference::default());
        Self { units, zones, gateway_enabled: true, rolled, preference }
    }
}

impl Service {
    /// Returns the desired number of units in all locations.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.locations.values().map(|location| u32::from(location.units)).sum()
    }
}
