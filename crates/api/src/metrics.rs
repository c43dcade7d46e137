//! Metrics of the API. All names are here.

use metrics::{Unit, describe_counter, describe_histogram};

/// Completed requests, by `method` and `code`.
pub(crate) const REQUESTS: &str = "meridian_api_requests_total";
/// Duration of requests, by `method`. For a stream, the time from its start to its end.
pub(crate) const DURATION: &str = "meridian_api_request_duration_seconds";

/// Registers the descriptions of this crate's metrics with the installed recorder. Call once.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, Unit::Count, "Completed gRPC requests, by method and status code.");
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Duration of gRPC requests from start to end, by method."
    );
}
