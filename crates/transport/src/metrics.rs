//! Metrics of the listeners.

use metrics::{Unit, counter, describe_counter};

/// Connections dropped before their first request, by `reason`.
const DROPPED: &str = "meridian_accept_dropped_total";

/// Registers the descriptions of this crate's metrics with the recorder. Called once, after it was
/// installed.
pub fn describe_metrics() {
    describe_counter!(
        DROPPED,
        Unit::Count,
        "Connections dropped before their first request: \
         silent (handshake timeout), crowded_out (too many half-open), full, not_http2."
    );
}

pub(crate) fn dropped(reason: &'static str) {
    counter!(DROPPED, "reason" => reason).increment(1);
}
