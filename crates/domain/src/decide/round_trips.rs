//! Measured round trips between regions.

use std::time::Duration;

use super::decision::Decision;
use crate::event::Event;
use crate::name::RegionName;
use crate::routing;
use crate::unknown;

/// Minimum difference between a measured round trip and the known one, both as a time and as a
/// fraction of the known one in percent. A smaller one would hardly change which region is closest, and
/// would fill the log.
const MIN_DIFFERENCE: Duration = Duration::from_millis(5);
const MIN_DIFFERENCE_PERCENT: u32 = 20;

/// Records the round trips from a region that differ considerably from the known ones.
pub(super) fn record(
    decision: &mut Decision<'_>,
    from: &RegionName,
    measured: &[(RegionName, u32)],
) {
    let state = decision.state;
    for region in measured.iter().map(|(region, _)| region).chain([from]) {
        if state.region(region).is_none() {
            decision.reject(unknown::region(state, region));
        }
    }
    if decision.is_rejected() {
        return;
    }
    for (to, micros) in measured.iter().filter(|(to, _)| to != from) {
        let known = routing::round_trip(state, from, to).time;
        let difference = known.abs_diff(Duration::from_micros((*micros).into()));
        if difference > MIN_DIFFERENCE && difference > known * MIN_DIFFERENCE_PERCENT / 100 {
            let (one, other) = (from.min(to).clone(), from.max(to).clone());
            decision.emit(Event::RoundTripMeasured { one, other, micros: *micros });
        }
    }
}
