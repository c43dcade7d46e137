//! Counts, revisions and numbers of units on the command line.

use std::fmt;
use std::str::FromStr;

/// Placeholder for the hyphen of a removal while `clap` parses the arguments: the typographic minus
/// sign, which looks the same in its messages. See [`super::arguments`].
pub(super) const MINUS: char = '\u{2212}';

/// The text is not a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use a whole number of 1 or more")]
pub struct NotACount;

/// The text is not a number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use a number of units such as 3, or a relative one such as +1 or -1")]
pub struct NotAUnitCount;

/// Number of units, absolute or relative to the current number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitCount {
    /// Exactly this many units.
    Exact(u32),
    /// This many units more, or less if negative; never 0.
    Relative(i32),
}

impl UnitCount {
    /// Number of units if there are `current` now. `None` if it would be below 1 or overflow.
    pub fn applied_to(self, current: u32) -> Option<u32> {
        match self {
            Self::Exact(units) => Some(units),
            Self::Relative(delta) => current.checked_add_signed(delta).filter(|units| *units > 0),
        }
    }
}

impl fmt::Display for UnitCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(units) => write!(f, "{units}"),
            Self::Relative(delta) => write!(f, "{delta:+}"),
        }
    }
}

impl FromStr for UnitCount {
    type Err = NotAUnitCount;

    fn from_str(text: &str) -> Result<Self, NotAUnitCount> {
        let (sign, digits) = match text.strip_prefix('+') {
            Some(digits) => (Some(1), digits),
            None => match text.strip_prefix(['-', MINUS]) {
                Some(digits) => (Some(-1), digits),
                None => (None, text),
            },
        };
        let number: u32 = digits_only(digits).ok_or(NotAUnitCount)?;
        let Some(sign) = sign else {
            return Ok(Self::Exact(number));
        };
        let delta = i32::try_from(number).ok().filter(|delta| *delta > 0);
        delta.map(|delta| Self::Relative(sign * delta)).ok_or(NotAUnitCount)
    }
}

/// Parses a limit or an absolute number of units. The maximum is checked by the cluster.
///
/// # Errors
/// If it is not a whole number of 1 or more.
pub fn parse(text: &str) -> Result<u32, NotACount> {
    from_one(text)
}

/// Parses a revision; revisions start at 1.
///
/// # Errors
/// If it is not a whole number of 1 or more.
pub fn parse_revision(text: &str) -> Result<u64, NotACount> {
    from_one(text)
}

/// Parses the number of units of an existing location.
///
/// # Errors
/// If it is neither a whole number of 1 or more nor a relative number.
pub fn parse_units(text: &str) -> Result<UnitCount, NotAUnitCount> {
    text.parse().ok().filter(|units| *units != UnitCount::Exact(0)).ok_or(NotAUnitCount)
}

fn from_one<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, NotACount> {
    digits_only(text).filter(|number| *number != T::default()).ok_or(NotACount)
}

/// Parses digits alone: the standard library also accepts a plus sign.
fn digits_only<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;

    #[test]
    fn a_count_is_a_whole_number_of_at_least_1_without_a_sign() {
        assert_eq!((parse("1"), parse_revision("4096")), (Ok(1), Ok(4096)));
        for bad in ["0", "-1", "+1", "two", "1.5", "", "99999999999"] {
            assert_eq!(parse(bad), Err(NotACount), "{bad}");
        }
    }

    #[test]
    fn a_sign_makes_a_number_of_units_relative() {
        for (text, count) in [
            ("3", UnitCount::Exact(3)),
            ("+1", UnitCount::Relative(1)),
            ("-2", UnitCount::Relative(-2)),
            ("\u{2212}2", UnitCount::Relative(-2)),
        ] {
            assert_eq!(parse_units(text), Ok(count), "{text}");
        }
        for bad in ["0", "+0", "-0", "+", "-", "--1", "+-1", "+1.5", "x", "", "+99999999999"] {
            assert_eq!(parse_units(bad), Err(NotAUnitCount), "{bad}");
        }
    }

    #[test]
    fn a_relative_number_of_units_is_added_to_the_current_one() {
        assert_eq!(UnitCount::Relative(2).applied_to(1), Some(3));
        assert_eq!(UnitCount::Relative(-2).applied_to(3), Some(1));
        assert_eq!(UnitCount::Relative(-3).applied_to(3), None);
        assert_eq!(UnitCount::Relative(-4).applied_to(3), None);
        assert_eq!(UnitCount::Exact(2).applied_to(9), Some(2));
    }

    #[test]
    fn an_invalid_number_is_reported_as_a_value_and_not_as_an_option() {
        for line in [
            "region add eastus --units -1",
            "region add eastus --units +1",
            "events --from -5",
            "cluster limits set --premium-units 0",
            "cluster limits set --premium-units +2",
            "cluster trim-history --through -3",
            "region promote eastus --expect-revision -3",
        ] {
            let (cause, next) = parse::fails(line);
            assert!(cause.ends_with(": use a whole number of 1 or more"), "{line}: {cause}");
            let command = line.split(" --").next().unwrap_or_default().replace(" eastus", "");
            assert_eq!(next, format!("see `meridian {command} --help`"), "{line}");
        }
        let (cause, _) = parse::fails("region scale eastus --units two");
        assert!(cause.ends_with("or a relative one such as +1 or -1"), "{cause}");
    }
}
