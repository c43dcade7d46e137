//! S8: no incarnation of a unit has two processes. S9: a partitioned region keeps its last unit.

use std::collections::BTreeMap;

use meridian_domain::EventType;

use super::Violation;
use super::facts::Facts;
use crate::history::{Fault, Micros, ObservedUnit, Processes, Step};

/// Time after the partition began during which its agent may still have received entries, in
/// microseconds.
const LATE_DELIVERY: Micros = 1_000_000;
/// Maximum time in which an agent replaces a killed unit, in microseconds.
const REPLACEMENT: Micros = 10_000_000;

/// Faults that kill units.
const KILLING: [&str; 7] =
    ["unit", "hang", "wipe", "spawn", "pid-reuse", "storage-error", "outage"];

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations: Vec<_> =
        facts.process_tables.iter().flat_map(|table| twice(table)).collect();
    for started in facts.faults.iter().filter(|fault| fault.step == Step::Started) {
        if ["partition", "quorum"].contains(&started.kind.as_str()) {
            violations.extend(lost(facts, started));
        }
    }
    violations
}

fn twice(table: &Processes) -> Vec<Violation> {
    let mut seen = BTreeMap::new();
    let mut violations = Vec::new();
    for unit in &table.units {
        let place = (&unit.service, &unit.region, unit.slot, unit.incarnation);
        if let Some(other) = seen.insert(place, unit.pid) {
            let what = format!("{unit:?} also runs as process {other}");
            violations.push(Violation::new("S8", table.at, what));
        }
    }
    violations
}

/// Finds locations in the partitioned regions that had a unit and have none before the partition
/// ends.
fn lost(facts: &Facts<'_>, cut: &Fault) -> Vec<Violation> {
    let ended = facts.faults.iter().find(|it| it.fault == cut.fault && it.step == Step::Ended);
    let ended = ended.map_or(Micros::MAX, |fault| fault.at);
    let regions = facts.header.nodes.iter().filter(|node| cut.nodes.contains(&node.name));
    let regions: Vec<&str> = regions.map(|node| node.region.as_str()).collect();
    let Some(before) = facts.process_tables.iter().rfind(|table| table.at <= cut.at) else {
        return Vec::new();
    };
    let mut had: Vec<(&str, &str)> = before.units.iter().map(place).collect();
    had.retain(|(_, region)| regions.contains(region));
    had.dedup();
    let mut violations = Vec::new();
    for (service, region) in had {
        let without =
            |table: &&&Processes| !table.units.iter().any(|it| place(it) == (service, region));
        let during =
            facts.process_tables.iter().filter(|table| (cut.at..ended).contains(&table.at));
        let Some(empty) = during.filter(without).find(|table| !units_killed(facts, cut, table.at))
        else {
            continue;
        };
        let mut units = before.units.iter().filter(|unit| place(unit) == (service, region));
        if !released(facts, cut, service, region) && !units.all(|unit| was_stopped(facts, unit)) {
            let what = format!("{service} has no unit in the partitioned region {region}");
            violations.push(Violation::new("S9", empty.at, what));
        }
    }
    violations
}

fn place(unit: &ObservedUnit) -> (&str, &str) {
    (&unit.service, &unit.region)
}

/// Returns true if units may be missing because another fault killed them.
fn units_killed(facts: &Facts<'_>, cut: &Fault, at: Micros) -> bool {
    facts.faults.iter().any(|other| {
        KILLING.contains(&other.kind.as_str())
            && other.nodes.iter().any(|node| cut.nodes.contains(node))
            && (other.at.saturating_sub(REPLACEMENT)..=other.at + REPLACEMENT).contains(&at)
    })
}

/// Returns true if the fault `hang` stopped the process of a unit: it serves nothing, and its agent kills
/// it once it has not responded for long enough, whatever else happens meanwhile.
fn was_stopped(facts: &Facts<'_>, unit: &ObservedUnit) -> bool {
    let process = format!("the stopped process {} ", unit.pid);
    facts.faults.iter().any(|fault| match &fault.step {
        Step::Effective { evidence } => fault.kind == "hang" && evidence.contains(&process),
        Step::Started | Step::Ended => false,
    })
}

/// Returns true if the location was removed before the partition and not added again, or shortly
/// before it, so that its agent may know.
fn released(facts: &Facts, cut: &Fault, service: &str, region: &str) -> bool {
    let known = facts.log.values().filter(|seen| seen.at <= cut.at + LATE_DELIVERY);
    let (mut exists, mut was_recently_removed) = (true, false);
    for seen in known {
        let data = &seen.event.data;
        let of_location = data["service"] == service && data["region"] == region;
        let of_unit = data["unit"]["service"] == service && data["unit"]["region"] == region;
        let is_recent = seen.at + REPLACEMENT >= cut.at;
        match seen.event.kind.parse() {
            Ok(EventType::RegionAdded) if of_location => exists = true,
            Ok(EventType::RegionRemoved) if of_location => {
                exists = false;
                was_recently_removed |= is_recent;
            }
            Ok(EventType::ServiceDeleted) if data["service"] == service => {
                exists = false;
                was_recently_removed |= is_recent;
            }
            // Only the newest assignment matters; it existed when the partition began.
            Ok(EventType::UnitReleased) if of_unit && is_recent => was_recently_removed = true,
            _ => {}
        }
    }
    !exists || was_recently_removed
}
