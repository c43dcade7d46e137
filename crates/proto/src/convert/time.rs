//! Timestamps and durations.

use meridian_domain::Timestamp;

/// Converts a timestamp of the log.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    #[allow(clippy::cast_possible_truncation, reason = "less than one billion")]
    let nanos = (time.0 % 1000 * 1_000_000) as i32;
    prost_types::Timestamp { seconds, nanos }
}

/// Converts a duration.
#[must_use]
pub fn duration(length: std::time::Duration) -> prost_types::Duration {
    let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(length.subsec_nanos()).unwrap_or(i32::MAX);
    prost_types::Duration { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_its_milliseconds() {
        let time = timestamp(Timestamp(1_795_000_000_123));
        assert_eq!((time.seconds, time.nanos), (1_795_000_000, 123_000_000));
    }
}
