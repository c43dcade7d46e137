//! Distances on the surface of the Earth.

use crate::catalog::Region;

/// Mean radius of the Earth in kilometers (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;
const MICRODEGREES: f64 = 1e6;

/// A point on the surface of the Earth, in degrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coordinates {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
}

impl Coordinates {
    pub(super) fn of(region: &Region) -> Self {
        Self {
            latitude: f64::from(region.latitude_microdegrees) / MICRODEGREES,
            longitude: f64::from(region.longitude_microdegrees) / MICRODEGREES,
        }
    }
}

/// Returns the great-circle distance in kilometers, by the haversine formula.
pub(super) fn kilometers(one: Coordinates, other: Coordinates) -> f64 {
    let latitudes = (one.latitude.to_radians(), other.latitude.to_radians());
    let longitudes = (other.longitude - one.longitude).to_radians();
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let squared =
        half(latitudes.1 - latitudes.0) + latitudes.0.cos() * latitudes.1.cos() * half(longitudes);
    2.0 * EARTH_RADIUS_KM * squared.min(1.0).sqrt().asin()
}
