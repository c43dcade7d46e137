//! Responses of gateways that are disabled.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// Responses of the gateways of a service in regions where they are disabled. Stored by position:
/// append only.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum WhenDisabled {
    /// Every request is refused with 503.
    #[default]
    Refuse,
    /// GET and HEAD are redirected to the next closest region that serves. Without one, or without a
    /// zone, they are refused, as other methods are.
    Redirect,
}

impl WhenDisabled {
    /// All values, the default first.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns the name of the value in lowercase.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Redirect => "redirect",
        }
    }
}

impl fmt::Display for WhenDisabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not a response of disabled gateways.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid response of disabled gateways {text:?}: use refuse or redirect")]
pub struct InvalidWhenDisabled {
    /// Rejected text.
    pub text: String,
}

impl FromStr for WhenDisabled {
    type Err = InvalidWhenDisabled;

    fn from_str(text: &str) -> Result<Self, InvalidWhenDisabled> {
        let mut values = Self::ALL.iter().copied();
        values
            .find(|value| value.as_str() == text.to_ascii_lowercase())
            .ok_or_else(|| InvalidWhenDisabled { text: text.to_owned() })
    }
}
