//! What the agent counts.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::report::{ReportedUnit, UnitStatus};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::driver::{self, Phase};
use crate::observe::Observed;

const UNITS: &str = "meridian_agent_units";
const DURATION: &str = "meridian_agent_reconcile_duration_seconds";
const RESTARTS: &str = "meridian_agent_unit_restarts_total";

/// Gives every metric of this crate its help text and unit, to the recorder installed.
pub fn describe_metrics() {
    describe_gauge!(UNITS, Unit::Count, "Units that this agent has, by state.");
    describe_histogram!(DURATION, Unit::Seconds, "Time to observe, compare and begin to act.");
    describe_counter!(RESTARTS, Unit::Count, "Units started again because they had failed.");
    driver::describe_metrics();
}

/// Notes the units that there are; those that are not, but are reported failed, count as well.
pub(crate) fn units(observed: &Observed, rows: &[ReportedUnit]) {
    let mut counts: BTreeMap<&str, u32> =
        ["starting", "ready", "draining", "failed"].map(|state| (state, 0)).into();
    let of_the_driver = observed.values().map(|unit| match unit.phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
        Phase::Silent | Phase::Exited(_) => "failed",
    });
    let not_started = rows.iter().filter(|row| {
        let failed = matches!(row.status, UnitStatus::Failed { .. });
        failed && !observed.contains_key(&row.incarnation)
    });
    for state in of_the_driver.chain(not_started.map(|_| "failed")) {
        *counts.entry(state).or_default() += 1;
    }
    for (state, count) in counts {
        gauge!(UNITS, "state" => state.to_owned()).set(count);
    }
}

/// Notes that a unit is started again.
pub(crate) fn restart() {
    counter!(RESTARTS).increment(1);
}

/// Notes how long a round took.
pub(crate) fn round(took: Duration) {
    histogram!(DURATION).record(took);
}
