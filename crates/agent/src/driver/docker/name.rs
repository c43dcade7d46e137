//! Names that an operator gives and an engine is told: from an allow-list each.

use std::fmt;
use std::str::FromStr;

/// Bytes of a name. The longest that an engine takes is an image's.
const MOST_BYTES: usize = 255;

/// A name has something in it that it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write {rule}")]
pub struct NameError {
    rule: &'static str,
}

/// An image, as `meridian:0.1.0`, `registry.example.net:5000/meridian@sha256:...` or `sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName(String);

/// A network of an engine, as `host`, `bridge`, or one that was made by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName(String);

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rule = "an image of 1 to 255 letters, digits and ._-:/@, which begins and ends with a \
                    letter or digit";
        checked(text, "._-:/@", rule).map(Self)
    }
}

impl FromStr for NetworkName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rule = "a network of 1 to 255 letters, digits and ._-, which begins and ends with a \
                    letter or digit";
        checked(text, "._-", rule).map(Self)
    }
}

fn checked(text: &str, marks: &str, rule: &'static str) -> Result<String, NameError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let has_ends = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_name = text.len() <= MOST_BYTES && has_ends(text) && text.chars().all(is_allowed);
    is_name.then(|| text.to_owned()).ok_or(NameError { rule })
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_what_is_allowed() {
        for good in ["meridian", "registry.example.net:5000/a/meridian_x@sha256:0aF", "a"] {
            assert!(good.parse::<ImageName>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in ["", "-v", "a b", "a;b", "$(a)", "a\n", "../a", "a/", "\u{e9}", long.as_str()] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
        // It would be a container's network, and ends with it.
        assert!("container:other".parse::<NetworkName>().is_err());
        assert!("meridian-backends_2".parse::<NetworkName>().is_ok());
    }
}
