//! Metrics of the agent.

use std::time::Duration;

use meridian_domain::report::{ReportedUnit, UnitStatus};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::driver::Phase;
use crate::observe::Observed;

const UNITS: &str = "meridian_agent_units";
const DURATION: &str = "meridian_agent_reconcile_duration_seconds";
const RESTARTS: &str = "meridian_agent_unit_restarts_total";
const PROBES: &str = "meridian_agent_probes_total";

/// Registers the descriptions of this crate's metrics with the installed recorder.
pub fn describe_metrics() {
    describe_gauge!(UNITS, Unit::Count, "Units of this agent, by state.");
    describe_histogram!(DURATION, Unit::Seconds, "Duration of a reconcile round.");
    describe_counter!(RESTARTS, Unit::Count, "Restarts of failed units.");
    describe_counter!(PROBES, Unit::Count, "Probes of gateways of other agents, by result.");
    // A counter that first appears with the value 1 has no rate.
    counter!(RESTARTS).increment(0);
}

/// Units by state, as the metric shows them.
#[derive(Default)]
struct UnitCounts {
    starting: u32,
    ready: u32,
    draining: u32,
    failed: u32,
}

/// Sets the unit gauges. Units that could not be started are not observed, but count as failed.
pub(crate) fn record_units(observed: &Observed, rows: &[ReportedUnit]) {
    let mut counts = UnitCounts::default();
    for unit in observed.values() {
        *match unit.phase {
            Phase::Starting => &mut counts.starting,
            Phase::Ready => &mut counts.ready,
            Phase::Draining => &mut counts.draining,
            Phase::Unresponsive | Phase::Unhealthy(_) | Phase::Exited(_) => &mut counts.failed,
        } += 1;
    }
    let not_started = rows.iter().filter(|row| {
        let failed = matches!(row.status, UnitStatus::Failed { .. });
        failed && !observed.contains_key(&row.incarnation)
    });
    counts.failed += u32::try_from(not_started.count()).unwrap_or(u32::MAX);
    let UnitCounts { starting, ready, draining, failed } = counts;
    let counts =
        [("starting", starting), ("ready", ready), ("draining", draining), ("failed", failed)];
    for (state, count) in counts {
        gauge!(UNITS, "state" => state).set(count);
    }
}

/// Counts a restart of a failed unit.
pub(crate) fn count_restart() {
    counter!(RESTARTS).increment(1);
}

/// Counts a probe.
pub(crate) fn count_probe(result: &'static str) {
    counter!(PROBES, "result" => result).increment(1);
}

/// Records the duration of a reconcile round.
pub(crate) fn record_round(duration: Duration) {
    histogram!(DURATION).record(duration);
}
