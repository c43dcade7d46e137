//! How busy units are. It changes too often to be an event, so agents are asked.

use std::collections::BTreeMap;

use meridian_domain::Incarnation;

/// How busy a unit is, as it last said, some seconds ago at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitLoad {
    /// Calls that run.
    pub in_flight: u32,
    /// Calls that run, in thousandths of those that it takes at a time, smoothed over some seconds.
    pub utilisation_permille: u32,
}

/// How busy the units of an agent are.
pub type UnitLoads = BTreeMap<Incarnation, UnitLoad>;
