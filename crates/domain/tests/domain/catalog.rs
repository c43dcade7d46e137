//! The catalog of regions.

use meridian_domain::catalog::{region, regions};
use meridian_domain::{RegionName, limits};

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
