//! Catalog of the built-in regions. Operators may define further ones, which are part of the state:
//! [`crate::State::region`] finds both kinds.

mod table;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::name::RegionName;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn names_are_unique_and_sorted_and_each_is_found() {
        assert_eq!(regions().len(), 59);
        assert!(regions().is_sorted_by(|one, next| one.name < next.name));
        for known in regions() {
            assert_eq!(region(&known.name), Some(known));
        }
    }

    #[test]
    fn display_names_parse_to_the_region_name() {
        for known in regions() {
            let parsed = RegionName::parse(&known.display_name).expect("valid region name");
            assert_eq!(parsed, known.name);
        }
        assert_eq!(region(&RegionName::parse("West Europa").expect("valid region name")), None);
    }

    #[test]
    fn coordinates_and_display_names_are_within_the_limits() {
        for region in regions() {
            assert!(region.latitude_microdegrees.abs() <= 90_000_000, "{}", region.name);
            assert!(region.longitude_microdegrees.abs() <= 180_000_000, "{}", region.name);
            assert!(region.display_name.len() <= limits::DISPLAY_NAME_CHARS, "{}", region.name);
        }
    }
}
