//! Checked names. A value of these types is well-formed wherever it appears: whoever holds one
//! need not check it again, also after it crossed a network or a disk.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::limits;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{} {kind} must not be empty", article(kind))]
    Empty {
        /// What was to be named.
        kind: &'static str,
    },
    /// The text is longer than its kind allows.
    #[error("{} {kind} has at most {max} characters; this one has {length}", article(kind))]
    TooLong {
        /// What was to be named.
        kind: &'static str,
        /// Most characters allowed.
        max: usize,
        /// Characters given.
        length: usize,
    },
    /// The text has a character that its kind does not allow, or has it in the wrong place.
    #[error(
        "{given:?} is not {} {kind}: use lower-case letters, digits and hyphens, \
         starting with a letter and ending with a letter or a digit",
        article(kind)
    )]
    Malformed {
        /// What was to be named.
        kind: &'static str,
        /// The text given.
        given: String,
    },
    /// The text has a control character in it.
    #[error("{} {kind} must not contain control characters", article(kind))]
    ControlCharacter {
        /// What was to be named.
        kind: &'static str,
    },
}

/// The indefinite article of a kind of name.
fn article(kind: &str) -> &'static str {
    if kind.starts_with(['a', 'A']) { "an" } else { "a" }
}

/// Checks `text` against the grammar that host names, paths and labels all accept:
/// `[a-z]([a-z0-9-]*[a-z0-9])?`.
fn check_label(kind: &'static str, max: usize, text: &str) -> Result<(), NameError> {
    check_length(kind, max, text)?;
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let well_formed = bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || *b == b'-');
    if well_formed { Ok(()) } else { Err(NameError::Malformed { kind, given: text.to_owned() }) }
}

/// Checks free text that people write for people.
fn check_text(kind: &'static str, max: usize, text: &str) -> Result<(), NameError> {
    check_length(kind, max, text)?;
    if text.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter { kind });
    }
    Ok(())
}

fn check_length(kind: &'static str, max: usize, text: &str) -> Result<(), NameError> {
    let length = text.chars().count();
    if length == 0 {
        return Err(NameError::Empty { kind });
    }
    if length > max {
        return Err(NameError::TooLong { kind, max, length });
    }
    Ok(())
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        // Derived, `into = "String"` would copy the text each time.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// Accepts `text` if it is well-formed.
            ///
            /// # Errors
            /// The rule that it breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check($kind, $max, &text)?;
                Ok(Self(text))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

checked_text!(
    /// The name of a service, unique in its cluster: 1 to 50 characters.
    ServiceName,
    "service name",
    limits::SERVICE_NAME_CHARS,
    check_label
);
checked_text!(
    /// The name of an agent, unique in its cluster: 1 to 63 characters.
    AgentName,
    "agent name",
    limits::AGENT_NAME_CHARS,
    check_label
);
checked_text!(
    /// The name of an API, unique in its service: 1 to 50 characters.
    ApiName,
    "API name",
    limits::API_NAME_CHARS,
    check_label
);
checked_text!(
    /// The short name of a region, such as `westeurope`: 1 to 40 characters. Well-formed does not
    /// mean known: only the catalogue and the regions that operators defined say what exists.
    RegionName,
    "region name",
    limits::REGION_NAME_CHARS,
    check_label
);
checked_text!(
    /// Who asks for a change, as the client says: information, not proof.
    Actor,
    "actor",
    limits::ACTOR_CHARS,
    check_text
);
checked_text!(
    /// Why a change was made, in the words of the person who made it.
    Reason,
    "reason",
    limits::REASON_CHARS,
    check_text
);

impl ApiName {
    /// The one before all others in their order.
    pub(crate) fn least() -> Self {
        Self("a".to_owned())
    }
}

impl RegionName {
    /// Accepts `westeurope` as well as `West Europe`: capitals and blanks do not count.
    ///
    /// # Errors
    /// The rule that the folded name breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let folded: String =
            text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
        Self::new(folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_may_be_written_as_people_write_it() {
        let written = RegionName::parse("West Europe").expect("is a region name");
        assert_eq!(written.as_str(), "westeurope");
    }

    #[test]
    fn names_that_could_leave_a_path_or_a_label_are_refused() {
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a.b", "a/b", "..", "ä", "a b", "a\0"] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "a1", "contoso", "my-service-2"] {
            assert!(ServiceName::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn lengths_count_up_to_their_limit() {
        assert!(ServiceName::new("a".repeat(limits::SERVICE_NAME_CHARS)).is_ok());
        assert_eq!(
            ServiceName::new("a".repeat(51)).expect_err("is too long").to_string(),
            "a service name has at most 50 characters; this one has 51"
        );
    }

    #[test]
    fn a_refusal_reads_well_whatever_was_to_be_named() {
        let article = |error: NameError| {
            let text = error.to_string();
            text.split(" is not ").nth(1).and_then(|rest| rest.split(':').next()).map(str::to_owned)
        };
        let refused = [
            AgentName::new("Foo").map(drop),
            ApiName::new("Foo").map(drop),
            ServiceName::new("Foo").map(drop),
            RegionName::new("Foo").map(drop),
        ];
        assert_eq!(
            refused.map(|result| article(result.expect_err("is no name")).unwrap_or_default()),
            ["an agent name", "an API name", "a service name", "a region name"]
        );
    }

    #[test]
    fn a_reason_is_one_line_of_text() {
        assert!(Reason::new("more load on Monday, see #12").is_ok());
        assert!(Reason::new("two\nlines").is_err());
    }
}
