//! Validated names of images and networks. Each is restricted to an allow-list of characters.

use std::fmt;
use std::str::FromStr;

/// Maximum length of a name in bytes: that of an image name, the longest that an engine accepts.
const MAX_BYTES: usize = 255;

/// A name is empty, too long, or contains an invalid character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write {rule}")]
pub struct NameError {
    rule: &'static str,
}

/// Name of an image, such as `meridian:0.1.0`, `registry.example.net:5000/meridian@sha256:...` or
/// `sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName(String);

/// Name of an engine's network, such as `host`, `bridge`, or a user-defined one.
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

/// Checks a name of letters, digits and `marks`.
fn checked(text: &str, marks: &str, rule: &'static str) -> Result<String, NameError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let has_ends = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_name = text.len() <= MAX_BYTES && has_ends(text) && text.chars().all(is_allowed);
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
    fn a_name_consists_of_allowed_characters() {
        for good in ["meridian", "registry.example.net:5000/a/meridian_x@sha256:0aF", "a"] {
            assert!(good.parse::<ImageName>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in ["", "-v", "a b", "a;b", "$(a)", "a\n", "../a", "a/", "\u{e9}", long.as_str()] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
        // The network of another container, which would disappear with it.
        assert!("container:other".parse::<NetworkName>().is_err());
        assert!("meridian-backends_2".parse::<NetworkName>().is_ok());
    }
}
