//! The regions that every cluster knows. Operators may define more of them, which are part of the
//! state: [`crate::State::region`] finds both kinds.

mod table;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::name::RegionName;

/// A place in which a service can have a location. Its coordinates are whole numbers, because the
/// state is compared and hashed, and floating-point numbers can do neither faithfully.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The name that the state knows it by.
    pub name: RegionName,
    /// The name that people read, such as `West Europe`.
    pub display_name: String,
    /// Degrees north of the equator, in millionths: from -90,000,000 to 90,000,000.
    pub latitude_microdegrees: i32,
    /// Degrees east of Greenwich, in millionths: from -180,000,000 to 180,000,000.
    pub longitude_microdegrees: i32,
}

static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let region = |(name, display_name, latitude, longitude): (&str, &str, i32, i32)| Region {
        name: RegionName::new(name).expect("the catalogue's names are well-formed"),
        display_name: display_name.to_owned(),
        latitude_microdegrees: latitude,
        longitude_microdegrees: longitude,
    };
    table::TABLE.into_iter().map(region).collect()
});

/// Every region of the catalogue, in the order of their names.
#[must_use]
pub fn regions() -> &'static [Region] {
    &REGIONS
}

/// The region of that name, if the catalogue has it.
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
    fn the_names_are_unique_and_sorted_and_each_is_found() {
        assert_eq!(regions().len(), 59);
        assert!(regions().is_sorted_by(|one, next| one.name < next.name));
        for known in regions() {
            assert_eq!(region(&known.name), Some(known));
        }
    }

    #[test]
    fn what_people_read_leads_to_the_region() {
        for known in regions() {
            let written = RegionName::parse(&known.display_name).expect("is a region name");
            assert_eq!(written, known.name);
        }
        assert_eq!(region(&RegionName::parse("West Europa").expect("is well-formed")), None);
    }

    #[test]
    fn every_region_is_on_the_globe_and_fits_the_limits() {
        for region in regions() {
            assert!(region.latitude_microdegrees.abs() <= 90_000_000, "{}", region.name);
            assert!(region.longitude_microdegrees.abs() <= 180_000_000, "{}", region.name);
            assert!(region.display_name.len() <= limits::DISPLAY_NAME_CHARS, "{}", region.name);
        }
    }
}
