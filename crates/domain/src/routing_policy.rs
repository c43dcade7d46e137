//! Routing policies, and what they are based on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// Order of the regions of a service. Stored by position: append only.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum RoutingPolicy {
    /// The region with the shortest round trip first.
    #[default]
    Nearest,
    /// The region with the lowest priority first; by round trip among equals.
    Priority,
    /// Clients are spread over the regions in proportion to their weights. A client stays in its
    /// region as long as that region serves.
    Weighted,
}

/// Preference of a location, for the policies that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preference {
    /// Priority from 1, the highest, to [`MAX_PRIORITY`](crate::limits::MAX_PRIORITY). Default 1.
    pub priority: u16,
    /// Weight from 0 to [`MAX_WEIGHT`](crate::limits::MAX_WEIGHT). Default 100. 0 for no clients
    /// while another region serves.
    pub weight: u16,
}

impl Default for Preference {
    fn default() -> Self {
        Self { priority: 1, weight: 100 }
    }
}

impl RoutingPolicy {
    /// All policies, the default first.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns the name of the policy in lowercase.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Priority => "priority",
            Self::Weighted => "weighted",
        }
    }
}

impl fmt::Display for RoutingPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not a routing policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid routing policy {text:?}: use nearest, priority or weighted")]
pub struct InvalidRoutingPolicy {
    /// Rejected text.
    pub text: String,
}

impl FromStr for RoutingPolicy {
    type Err = InvalidRoutingPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidRoutingPolicy> {
        let mut policies = Self::ALL.iter().copied();
        policies
            .find(|policy| policy.as_str() == text.to_ascii_lowercase())
            .ok_or_else(|| InvalidRoutingPolicy { text: text.to_owned() })
    }
}
