//! Durations on the command line: `5`, `2.5s`, `500ms`, `1m`, `7d`.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum duration of a timeout.
const MAX_TIMEOUT: Duration = DAY;

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use seconds above 0, or a number with a unit such as 500ms, 5s or 1m, up to one day")]
pub struct NotADuration;

/// Parses a timeout; a number without a unit is in seconds.
///
/// # Errors
/// If it is not a positive number with a known unit, or is above one day.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    parse_any(text).filter(|duration| *duration <= MAX_TIMEOUT).ok_or(NotADuration)
}

/// Parses a duration of any length. `None` if it is not a positive number with a known unit.
pub(super) fn parse_any(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    let duration = Duration::try_from_secs_f64(number * seconds_per_unit).ok()?;
    Some(duration).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_positive_number_with_an_optional_unit() {
        for (text, millis) in [
            ("5", 5_000),
            ("2.5s", 2_500),
            ("500ms", 500),
            ("1m", 60_000),
            ("24h", 86_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "0", "0s", "-1", "5x", "s", "1e3", "..", "25h", "2d", "5 s"] {
            assert_eq!(parse(bad), Err(NotADuration), "{bad}");
        }
        assert_eq!(parse_any("7d"), Some(7 * DAY));
    }
}
