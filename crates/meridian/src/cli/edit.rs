//! The edits of `region set`: `westeurope=3` adds or scales a region, `eastus=+1` scales it
//! relative to its current units, `-southeastasia` removes it.

use std::str::FromStr;

use super::count::{self, MINUS, UnitCount};

/// One edit of `region set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionEdit {
    /// Adds the region with this many units, or scales it.
    Set {
        /// Region, as given.
        region: String,
        /// Number of units, absolute or relative.
        units: UnitCount,
    },
    /// Removes the region.
    Remove {
        /// Region, as given.
        region: String,
    },
}

/// The text is not an edit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "use REGION=UNITS to add or scale a region, REGION=+N or REGION=-N to scale it by N units, and \
     -REGION to remove it"
)]
pub struct NotAnEdit;

impl FromStr for RegionEdit {
    type Err = NotAnEdit;

    fn from_str(text: &str) -> Result<Self, NotAnEdit> {
        let removed = text.strip_prefix(['-', MINUS]);
        match (removed, text.rsplit_once('=')) {
            (Some(region), None) if !region.trim().is_empty() => {
                Ok(Self::Remove { region: region.to_owned() })
            }
            (None, Some((region, units))) if !region.trim().is_empty() => {
                let units = count::parse_units(units).map_err(|_| NotAnEdit)?;
                Ok(Self::Set { region: region.to_owned(), units })
            }
            _ => Err(NotAnEdit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_sets_or_removes_a_region() {
        let set = |region: &str, units| RegionEdit::Set { region: region.to_owned(), units };
        let remove = |region: &str| RegionEdit::Remove { region: region.to_owned() };
        for (text, edit) in [
            ("westeurope=3", set("westeurope", UnitCount::Exact(3))),
            ("West Europe=3", set("West Europe", UnitCount::Exact(3))),
            ("eastus=+1", set("eastus", UnitCount::Relative(1))),
            ("eastus=-1", set("eastus", UnitCount::Relative(-1))),
            ("-southeastasia", remove("southeastasia")),
            ("\u{2212}southeastasia", remove("southeastasia")),
            ("-South East Asia", remove("South East Asia")),
        ] {
            assert_eq!(text.parse(), Ok(edit), "{text}");
        }
        for bad in [
            "",
            "-",
            "=",
            "eastus",
            "eastus=",
            "=3",
            "eastus=0",
            "eastus=x",
            "eastus=+0",
            "-eastus=3",
        ] {
            assert_eq!(bad.parse::<RegionEdit>(), Err(NotAnEdit), "{bad}");
        }
    }
}
