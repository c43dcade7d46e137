//! Durations as people type them: `5`, `2.5s`, `500ms`, `1m`.

use std::time::Duration;

/// The longest duration that is accepted: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "use a number of seconds above 0, or one with a unit, such as 500ms, 5s or 1m, up to a day"
)]
pub struct NotADuration;

/// Reads a duration; a bare number is in seconds.
///
/// # Errors
/// If it is not a positive number with a known unit, or longer than a day.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(NotADuration),
    };
    let number: f64 = number.parse().map_err(|_| NotADuration)?;
    Duration::try_from_secs_f64(number * seconds_per_unit)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or(NotADuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_type_them() {
        for (text, millis) in
            [("5", 5_000), ("2.5s", 2_500), ("500ms", 500), ("1m", 60_000), ("24h", 86_400_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "0", "0s", "-1", "5x", "s", "1e3", "..", "25h", "5 s"] {
            assert_eq!(parse(bad), Err(NotADuration), "{bad}");
        }
    }
}
