//! Deadline of a request.
//!
//! The header `grpc-timeout` is parsed as in the gRPC specification ("Requests" in PROTOCOL-HTTP2):
//! up to eight digits and a unit.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// Timeout of a request without a `grpc-timeout`.
const DEFAULT: Duration = Duration::from_secs(5);
/// Maximum timeout of a request: an abandoned one must not occupy a queue slot for long.
pub(crate) const MAX: Duration = Duration::from_secs(60);
/// Time by which work ends before the client's timeout, so that the response still arrives. At most
/// a quarter of the timeout.
const RESPONSE_MARGIN: Duration = Duration::from_millis(200);

/// Returns the deadline for work on the request.
pub(crate) fn of(metadata: &MetadataMap) -> Instant {
    Instant::now() + timeout(metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()))
}

/// Returns the earlier of `deadline` and `wait` from now.
pub(crate) fn within(deadline: Instant, wait: Duration) -> Instant {
    deadline.min(Instant::now() + wait)
}

fn timeout(header: Option<&str>) -> Duration {
    let given = header.and_then(parse).unwrap_or(DEFAULT).min(MAX);
    given - RESPONSE_MARGIN.min(given / 4)
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
    fn a_request_has_its_timeout_less_the_response_margin() {
        assert_eq!(timeout(Some("10S")), Duration::from_millis(9_800));
        assert_eq!(timeout(Some("100m")), Duration::from_millis(75));
        assert_eq!(timeout(Some("99999999H")), MAX - RESPONSE_MARGIN);
        assert_eq!(timeout(Some("0n")), Duration::ZERO);
    }

    #[test]
    fn an_invalid_header_means_the_default() {
        for invalid in ["", "S", "5", "-5S", "+5S", "123456789S", "5s", "5é", "\u{1f980}"] {
            assert_eq!(timeout(Some(invalid)), DEFAULT - RESPONSE_MARGIN, "{invalid:?} was taken");
        }
        assert_eq!(timeout(None), DEFAULT - RESPONSE_MARGIN);
    }
}
