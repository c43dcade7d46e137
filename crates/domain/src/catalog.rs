//! Catalog of the built-in regions. Operators may define further ones, which are part of the state:
//! [`crate::State::region`] finds both kinds.

mod round_trips;
mod table;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::name::RegionName;

pub use round_trips::round_trip;

/// A region in which a service can have a location. The coordinates are integers, because the state
/// is compared and hashed, which floating-point numbers do not support reliably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Name that identifies the region, such as `westeurope`.
    pub name: RegionName,
    /// Name for display, such as `West Europe`.
    pub display_name: String,
    /// Latitude in millionths of a degree, from -90,000,000 to 90,000,000; north is positive.
    pub latitude_microdegrees: i32,
    /// Longitude in millionths of a degree, from -180,000,000 to 180,000,000; east is positive.
    pub longitude_microdegrees: i32,
}

static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let region = |(name, display_name, latitude, longitude): (&str, &str, i32, i32)| Region {
        name: RegionName::new(name).expect("the catalog's names are valid"),
        display_name: display_name.to_owned(),
        latitude_microdegrees: latitude,
        longitude_microdegrees: longitude,
    };
    table::TABLE.into_iter().map(region).collect()
});

/// Returns every region of the catalog, sorted by name.
#[must_use]
pub fn regions() -> &'static [Region] {
    &REGIONS
}

/// Returns the region of that name, if the catalog has it.
#[must_use]
pub fn region(name: &RegionName) -> Option<&'static Region> {
    let position = REGIONS.binary_search_by(|region| region.name.cmp(name)).ok()?;
    Some(&REGIONS[position])
}
