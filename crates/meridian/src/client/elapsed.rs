//! Durations in messages: `21 ms`, `3.2 s`, `10 min`.

use std::time::Duration;

/// Formats a short duration, such as the run time of a command.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        1_000..10_000 => format!("{seconds:.1} s"),
        10_000..120_000 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_precision_that_a_reader_needs() {
        for (millis, text) in [
            (21, "21 ms"),
            (999, "999 ms"),
            (3_240, "3.2 s"),
            (45_600, "46 s"),
            (600_000, "10 min"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(millis)), text);
        }
    }
}
