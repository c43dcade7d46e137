//! Names of regions that must be in the catalog.

use meridian_domain::nearest::nearest;
use meridian_domain::{NameError, RegionName, catalog};

/// Reason why a text does not name a region of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// The text is not a region name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The catalog does not have the region.
    #[error("unknown region{}", suggestions(nearest))]
    Unknown {
        /// The most similar regions of the catalog, most similar first.
        nearest: Vec<String>,
    },
}

fn suggestions(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return "; `meridian region catalog` lists all regions".to_owned();
    }
    format!("; the nearest are {}", nearest.join(", "))
}

/// Parses the name of a region of the catalog.
///
/// # Errors
/// If the text is not a region name, or the catalog does not have the region.
pub fn parse(text: &str) -> Result<RegionName, RegionError> {
    let region = RegionName::parse(text)?;
    check(&region)?;
    Ok(region)
}

/// Checks that a region is in the catalog. All other regions have to be defined in a cluster.
///
/// # Errors
/// [`RegionError::Unknown`].
pub fn check(region: &RegionName) -> Result<(), RegionError> {
    if catalog::region(region).is_some() {
        return Ok(());
    }
    let known = catalog::regions().iter().map(|region| region.name.as_str());
    Err(RegionError::Unknown { nearest: nearest(region.as_str(), known) })
}
