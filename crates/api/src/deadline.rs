//! How long a call has.
//!
//! The header `grpc-timeout` is read as the gRPC specification has it ("Requests" in PROTOCOL-HTTP2):
//! up to eight digits and a unit.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// What a call has that names no time.
const DEFAULT: Duration = Duration::from_secs(5);
/// What a call has at most: an abandoned one must not hold its place in a queue for long.
pub(crate) const MOST: Duration = Duration::from_secs(60);
/// How much earlier than the caller gives up the work ends, so that the answer still arrives. A quarter
/// of the time where that is less.
const WAY_BACK: Duration = Duration::from_millis(200);

/// When work on the call has to end.
pub(crate) fn of(metadata: &MetadataMap) -> Instant {
    Instant::now() + length(metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()))
}

/// The earlier of a deadline and some time from now.
pub(crate) fn within(deadline: Instant, wait: Duration) -> Instant {
    deadline.min(Instant::now() + wait)
}

fn length(header: Option<&str>) -> Duration {
    let given = header.and_then(parse).unwrap_or(DEFAULT).min(MOST);
    given - WAY_BACK.min(given / 4)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_what_it_asks_for_less_the_way_back() {
        assert_eq!(length(Some("10S")), Duration::from_millis(9_800));
        assert_eq!(length(Some("100m")), Duration::from_millis(75));
        assert_eq!(length(Some("99999999H")), MOST - WAY_BACK);
        assert_eq!(length(Some("0n")), Duration::ZERO);
    }

    #[test]
    fn a_header_that_is_none_gives_the_default() {
        for bad in ["", "S", "5", "-5S", "+5S", "123456789S", "5s", "5é", "\u{1f980}"] {
            assert_eq!(length(Some(bad)), DEFAULT - WAY_BACK, "{bad:?} was taken");
        }
        assert_eq!(length(None), DEFAULT - WAY_BACK);
    }
}
