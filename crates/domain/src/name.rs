//! Validated names and texts. A value of these types is always valid, even after it was received
//! from the network or read from disk: deserialization validates it again.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::limits;

/// A text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("{kind} must not be empty")]
    Empty {
        /// Kind of name, such as `service name`.
        kind: &'static str,
    },
    /// The text is too long.
    #[error("{kind} can have at most {max} characters, got {length}")]
    TooLong {
        /// Kind of name.
        kind: &'static str,
        /// Maximum length in characters.
        max: usize,
        /// Actual length in characters.
        length: usize,
    },
    /// The text has an invalid character, or a valid one in an invalid position.
    #[error(
        "invalid {kind} {text:?}: use lowercase letters, digits and hyphens, starting with a \
         letter and ending with a letter or digit"
    )]
    Malformed {
        /// Kind of name.
        kind: &'static str,
        /// Rejected text.
        text: String,
    },
    /// The text has a control character.
    #[error("{kind} must not contain control characters")]
    ControlCharacter {
        /// Kind of name.
        kind: &'static str,
    },
}

/// Checks `text` against `[a-z]([a-z0-9-]*[a-z0-9])?`, which is valid in host names, paths and
/// labels.
fn check_label(kind: &'static str, max: usize, text: &str) -> Result<(), NameError> {
    check_length(kind, max, text)?;
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let well_formed = bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || *b == b'-');
    if well_formed { Ok(()) } else { Err(NameError::Malformed { kind, text: text.to_owned() }) }
}

/// Checks free text for display.
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

        // `#[serde(into = "String")]` would copy the text.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// The first rule that it violates.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check($kind, $max, &text)?;
                Ok(Self(text))
            }

            /// Returns the text.
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
    /// Name of a service, unique in its cluster: 1 to 50 characters.
    ServiceName,
    "service name",
    limits::SERVICE_NAME_CHARS,
    check_label
);
checked_text!(
    /// Name of an agent, unique in its cluster: 1 to 63 characters.
    AgentName,
    "agent name",
    limits::AGENT_NAME_CHARS,
    check_label
);
checked_text!(
    /// Name of an API, unique in its service: 1 to 50 characters.
    ApiName,
    "API name",
    limits::API_NAME_CHARS,
    check_label
);
checked_text!(
    /// Name of a region, such as `westeurope`: 1 to 40 characters. A valid name does not imply that
    /// the region exists: see [`crate::State::region`].
    RegionName,
    "region name",
    limits::REGION_NAME_CHARS,
    check_label
);
checked_text!(
    /// Actor behind a change, as claimed by the client: 1 to 128 characters. Not authenticated.
    Actor,
    "actor",
    limits::ACTOR_CHARS,
    check_text
);
checked_text!(
    /// Reason for a change as free text: 1 to 256 characters.
    Reason,
    "reason",
    limits::REASON_CHARS,
    check_text
);

impl ApiName {
    /// Returns the smallest name in sort order.
    pub(crate) fn min() -> Self {
        Self("a".to_owned())
    }
}

impl RegionName {
    /// Returns the smallest name in sort order.
    pub(crate) fn min() -> Self {
        Self("a".to_owned())
    }

    /// Parses a name such as `westeurope` or `West Europe`: spaces and case are ignored.
    ///
    /// # Errors
    /// The first rule that the normalized name violates.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let normalized: String =
            text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
        Self::new(normalized)
    }
}
