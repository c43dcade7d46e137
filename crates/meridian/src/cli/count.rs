//! Numbers as people type them, and what is said of those that are none.

use std::str::FromStr;

/// The text is not a number that can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use a whole number from 1 up")]
pub struct NotACount;

/// Reads a number of units, or a limit of them. How many there may be, the cluster knows.
///
/// # Errors
/// If it is not a whole number from 1 up.
pub fn parse(text: &str) -> Result<u32, NotACount> {
    from_one(text)
}

/// Reads the number of an event; they count from 1.
///
/// # Errors
/// If it is not a whole number from 1 up.
pub fn parse_revision(text: &str) -> Result<u64, NotACount> {
    from_one(text)
}

fn from_one<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, NotACount> {
    text.parse().ok().filter(|number| *number != T::default()).ok_or(NotACount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::usage;

    #[test]
    fn what_is_counted_begins_with_one() {
        assert_eq!((parse("1"), parse_revision("4096")), (Ok(1), Ok(4096)));
        for bad in ["0", "-1", "two", "1.5", "", "99999999999"] {
            assert_eq!(parse(bad), Err(NotACount), "{bad}");
        }
    }

    #[test]
    fn a_number_below_one_is_a_bad_value_and_no_flag() {
        for line in [
            &["region", "add", "eastus", "--units", "-1"][..],
            &["region", "scale", "eastus", "--units=-1"],
            &["region", "scale", "eastus", "--units", "two"],
            &["events", "--from", "-5"],
            &["cluster", "limits", "set", "--premium-units", "0"],
            &["cluster", "trim-history", "--through", "-3"],
            &["status", "--expect-revision", "-3"],
        ] {
            let (cause, next) = usage::lines(line);
            assert!(cause.ends_with(": use a whole number from 1 up"), "{line:?}: {cause}");
            let options = line.iter().take_while(|word| !word.starts_with('-'));
            let command: Vec<&str> = options.copied().filter(|word| *word != "eastus").collect();
            assert_eq!(next, format!("see `meridian {} --help`", command.join(" ")), "{line:?}");
        }
    }
}
