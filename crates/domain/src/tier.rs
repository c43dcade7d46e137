//! Tiers of services.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// Tier of a service. It limits the units of a location and the number of regions. Stored by
/// position: append only.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// For evaluation: one unit.
    Developer,
    /// Up to two units by default.
    Basic,
    /// Up to four units by default.
    Standard,
    /// Several regions, with up to twelve units in each by default.
    Premium,
}

impl Tier {
    /// All tiers, the smallest first.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns true if a service of this tier may have more than one region.
    #[must_use]
    pub fn allows_several_regions(self) -> bool {
        match self {
            Self::Developer | Self::Basic | Self::Standard => false,
            Self::Premium => true,
        }
    }

    /// Returns the name of the tier in lowercase.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::Basic => "basic",
            Self::Standard => "standard",
            Self::Premium => "premium",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not a tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid tier {text:?}: use developer, basic, standard or premium")]
pub struct InvalidTier {
    /// Rejected text.
    pub text: String,
}

impl FromStr for Tier {
    type Err = InvalidTier;

    fn from_str(text: &str) -> Result<Self, InvalidTier> {
        Self::ALL
            .iter()
            .copied()
            .find(|tier| tier.as_str() == text.to_ascii_lowercase())
            .ok_or_else(|| InvalidTier { text: text.to_owned() })
    }
}
