//! What the API counts and measures. All names are here.

use metrics::{Unit, describe_counter, describe_histogram};

/// Calls that ended, by `method` and `code`.
pub(crate) const REQUESTS: &str = "meridian_api_requests_total";
/// How long calls took, by `method`. A stream's time is that from its beginning to its end.
pub(crate) const DURATION: &str = "meridian_api_request_duration_seconds";

/// Describes the metrics of this crate to the recorder. Called once, after it was installed.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, Unit::Count, "gRPC calls that ended, by method and status code.");
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time from the beginning of a gRPC call to its end, by method."
    );
}
