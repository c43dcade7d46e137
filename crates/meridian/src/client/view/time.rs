//! Times as text.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, PrimitiveDateTime};

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;

/// One day.
pub const DAY: Duration = Duration::from_secs(DAY_S);

/// Returns a duration in its largest suitable unit, such as `12 s` or `3 h`.
pub fn short(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 2 * MINUTE_S => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR_S => format!("{} min", seconds / MINUTE_S),
        seconds if seconds < 2 * DAY_S => format!("{} h", seconds / HOUR_S),
        seconds => format!("{} d", seconds / DAY_S),
    }
}

/// Returns a duration since an event, such as `12 s ago`; `now` below one second.
pub fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "now".to_owned(),
        _ => format!("{} ago", short(duration)),
    }
}

/// Returns the time since `time`: zero if it is in the future, which a clock that is behind can cause.
pub fn age(time: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_default()
}

/// Returns a time as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    let utc = utc(time);
    let (date, clock) = (utc.date(), utc.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond()
    )
}

/// Returns the time of day in UTC, such as `11:06:40`.
pub fn clock(time: SystemTime) -> String {
    let clock = utc(time).time();
    format!("{:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second())
}

/// Converts a time; beyond the year 9999, the end of it.
fn utc(time: SystemTime) -> OffsetDateTime {
    let since_epoch = age(SystemTime::UNIX_EPOCH, time);
    let utc =
        since_epoch.try_into().ok().and_then(|since| OffsetDateTime::UNIX_EPOCH.checked_add(since));
    utc.unwrap_or(PrimitiveDateTime::MAX.assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_largest_suitable_unit() {
        for (seconds, text) in [
            (0, "now"),
            (1, "1 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7_199, "119 min ago"),
            (7_200, "2 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 d ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_its_end() {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(rfc3339(time(1_795_000_000)), "2026-11-18T11:06:40.000Z");
        assert_eq!(rfc3339(time(1 << 50)), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_time_in_the_future_has_no_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(age(now + Duration::from_secs(5), now), Duration::ZERO);
        assert_eq!(age(now - Duration::from_secs(5), now), Duration::from_secs(5));
    }
}
