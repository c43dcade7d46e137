//! Round trips between regions: measured, published, or estimated by distance.

use std::time::Duration;

use super::great_circle::{Coordinates, kilometers};
use crate::catalog::{self, Region};
use crate::name::RegionName;
use crate::state::State;

/// Fit of the published round trips: 25.9 ms and 14.3 ms per 1,000 km of great circle.
const ESTIMATE_MICROS: f64 = 25_900.0;
const ESTIMATE_MICROS_PER_KM: f64 = 14.3;

/// Round trip between two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// Median.
    pub time: Duration,
    /// Its source.
    pub source: RoundTripSource,
}

/// Source of a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundTripSource {
    /// Both regions are the same: 0.
    SameRegion,
    /// Measured between agents of both regions.
    Measured,
    /// Published for the regions of the catalog.
    Published,
    /// Estimated by the distance of the regions.
    Distance,
}

/// Returns the round trip between two regions, which is the same in both directions: the measured
/// one, else the published one, else an estimate.
#[must_use]
pub fn round_trip(state: &State, one: &RegionName, other: &RegionName) -> RoundTrip {
    if one == other {
        return RoundTrip { time: Duration::ZERO, source: RoundTripSource::SameRegion };
    }
    let pair = (one.min(other).clone(), one.max(other).clone());
    if let Some(measured) = state.round_trips.get(&pair) {
        let time = Duration::from_micros(measured.micros.into());
        return RoundTrip { time, source: RoundTripSource::Measured };
    }
    if let Some(time) = catalog::round_trip(one, other) {
        return RoundTrip { time, source: RoundTripSource::Published };
    }
    // A location's region is in the catalog or in the state, and neither forgets one.
    let regions = (state.region(one), state.region(other));
    let (Some(one), Some(other)) = regions else {
        return RoundTrip { time: Duration::MAX, source: RoundTripSource::Distance };
    };
    RoundTrip { time: estimate(one, other), source: RoundTripSource::Distance }
}

/// Returns the round trip between two regions as estimated by their distance.
fn estimate(one: &Region, other: &Region) -> Duration {
    let distance = kilometers(Coordinates::of(one), Coordinates::of(other));
    // Rounded, so that the last bits of a sine, which differ between platforms, have no effect.
    Duration::from_micros((ESTIMATE_MICROS + ESTIMATE_MICROS_PER_KM * distance).round() as u64)
}
