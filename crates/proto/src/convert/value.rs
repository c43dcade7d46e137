//! Services, regions and limits.

use meridian_domain::limits::Limits;
use meridian_domain::{Location, Region, RegionName, Service};

use crate::v1;

/// Returns the locations of a service in display order: the primary first, then by name.
pub fn locations(service: &Service) -> impl Iterator<Item = (&RegionName, &Location)> {
    let primary = service.locations.get_key_value(&service.primary);
    let others = service.locations.iter().filter(|(region, _)| **region != service.primary);
    primary.into_iter().chain(others)
}

impl From<&Service> for v1::Service {
    fn from(service: &Service) -> Self {
        Self {
            name: service.name.to_string(),
            tier: service.tier.to_string(),
            primary: service.primary.to_string(),
            port: service.port.into(),
            units: service.units(),
            revision: service.revision.0,
            regions: locations(service).map(|(region, _)| region.to_string()).collect(),
            configuration: service.configuration.0,
            routing: service.routing.to_string(),
            when_disabled: service.when_disabled.to_string(),
        }
    }
}

impl v1::Region {
    /// Converts a region with the number of its agents.
    #[must_use]
    pub fn of(region: &Region, agents: u32, custom: bool) -> Self {
        Self {
            name: region.name.to_string(),
            display_name: region.display_name.clone(),
            latitude: f64::from(region.latitude_microdegrees) / 1e6,
            longitude: f64::from(region.longitude_microdegrees) / 1e6,
            agents,
            custom,
        }
    }
}

impl From<&Limits> for v1::Limits {
    fn from(limits: &Limits) -> Self {
        Self {
            developer_units: limits.developer_units.into(),
            basic_units: limits.basic_units.into(),
            standard_units: limits.standard_units.into(),
            premium_units: limits.premium_units.into(),
            voters: limits.voters.into(),
        }
    }
}
