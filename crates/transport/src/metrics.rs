//! Metrics of the listeners.

use metrics::{Unit, counter, describe_counter};

/// Connections dropped before their first request, by `reason`.
const DROPPED: &str = "meridian_accept_dropped_total";
/// Reasons for which a connection is dropped.
const REASONS: [&str; 4] = ["silent", "crowded_out", "full", "not_http2"];

/// Registers the descriptions of this crate's metrics with the recorder. Called once, after it was
/// installed.
pub fn describe_metrics() {
    describe_counter!(
        DROPPED,
        Unit::Count,
        "Connections dropped before their first request: \
         silent (handshake timeout), crowded_out (too many half-open), full, not_http2."
    );
    // A counter that first appears with the value 1 has no rate.
    for reason in REASONS {
        counter!(DROPPED, "reason" => reason).increment(0);
    }
}

pub(crate) fn dropped(reason: &'static str) {
    counter!(DROPPED, "reason" => reason).increment(1);
}
