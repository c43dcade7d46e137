//! Published round trips between the regions of the catalog.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use crate::name::RegionName;

/// A triangular matrix; its comment describes the format and the source.
const TABLE: &str = include_str!("round-trips.txt");

static ROUND_TRIPS: LazyLock<BTreeMap<(&'static str, &'static str), Duration>> =
    LazyLock::new(|| {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
        let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        let pairs = rows.iter().flat_map(|row| {
            names.iter().zip(&row[1..]).filter(|(_, ms)| **ms != "-").map(|(earlier, ms)| {
                let ms = ms.parse().expect("the table has whole milliseconds");
                ((*earlier, row[0]), Duration::from_millis(ms))
            })
        });
        pairs.collect()
    });

/// Returns the published median round trip between two regions, in either order; `None` if there is
/// none.
#[must_use]
pub fn round_trip(one: &RegionName, other: &RegionName) -> Option<Duration> {
    let (one, other) = (one.as_str(), other.as_str());
    ROUND_TRIPS.get(&(one.min(other), one.max(other))).copied()
}
