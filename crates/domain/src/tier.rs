//! Tiers: what a service may have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a service may have: how many units in a location, and whether several regions.
/// Stored by position: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// For trying things out: one unit.
    Developer,
    /// Small: up to two units.
    Basic,
    /// Ordinary: up to four units.
    Standard,
    /// The only tier with several regions; up to twelve units in each.
    Premium,
}

impl Tier {
    /// Every tier, the smallest first.
    pub const ALL: [Self; 4] = [Self::Developer, Self::Basic, Self::Standard, Self::Premium];

    /// Whether a service of this tier may have more than one region.
    #[must_use]
    pub fn allows_several_regions(self) -> bool {
        self == Self::Premium
    }

    /// The tier's name as people write it.
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

/// The text names no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a tier: use developer, basic, standard or premium")]
pub struct NotATier {
    /// The text given.
    pub given: String,
}

impl FromStr for Tier {
    type Err = NotATier;

    fn from_str(text: &str) -> Result<Self, NotATier> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == text.to_ascii_lowercase())
            .ok_or_else(|| NotATier { given: text.to_owned() })
    }
}
