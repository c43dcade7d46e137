//! S8: there are never two processes for one assignment of a unit. S9: a region that is cut off keeps
//! its last unit.

use std::collections::BTreeMap;

use super::Violation;
use super::facts::Facts;
use crate::history::{Fault, Micros, Processes, Step};

/// What an agent may still have learned after its network was cut, in microseconds.
const LEARNED_LATE: Micros = 1_000_000;
/// How long an agent may take to replace a unit that was killed, in microseconds.
const REPLACED: Micros = 10_000_000;

/// Faults that kill units.
const KILLING: [&str; 5] = ["unit", "wipe", "spawn", "pid-reuse", "storage-error"];

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations: Vec<_> = facts.tables.iter().flat_map(|table| twice(table)).collect();
    for begun in facts.faults.iter().filter(|fault| fault.step == Step::Begun) {
        if ["partition", "quorum"].contains(&begun.kind.as_str()) {
            violations.extend(lost(facts, begun));
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
            let what = format!("{unit:?} runs as process {other}, too");
            violations.push(Violation::new("S8", table.at, what));
        }
    }
    violations
}

/// Locations of the regions cut off that had a unit, and have none before the cut is over.
fn lost(facts: &Facts<'_>, cut: &Fault) -> Vec<Violation> {
    let ended = facts.faults.iter().find(|it| it.fault == cut.fault && it.step == Step::Ended);
    let ended = ended.map_or(Micros::MAX, |fault| fault.at);
    let regions = facts.header.nodes.iter().filter(|node| cut.nodes.contains(&node.name));
    let regions: Vec<&str> = regions.map(|node| node.region.as_str()).collect();
    let Some(before) = facts.tables.iter().rfind(|table| table.at <= cut.at) else {
        return Vec::new();
    };
    let mut had: Vec<(&str, &str)> = before.units.iter().map(place).collect();
    had.retain(|(_, region)| regions.contains(region));
    had.dedup();
    let mut violations = Vec::new();
    for (service, region) in had {
        let without =
            |table: &&&Processes| !table.units.iter().any(|it| place(it) == (service, region));
        let during = facts.tables.iter().filter(|table| (cut.at..ended).contains(&table.at));
        let Some(empty) = during.filter(without).find(|table| !meddled(facts, cut, table.at))
        else {
            continue;
        };
        if !released(facts, cut, service, region) {
            let what = format!("{service} has no unit in {region}, which is cut off");
            violations.push(Violation::new("S9", empty.at, what));
        }
    }
    violations
}

fn place(unit: &crate::history::UnitSeen) -> (&str, &str) {
    (&unit.service, &unit.region)
}

/// Whether units there may be missing because they were killed.
fn meddled(facts: &Facts<'_>, cut: &Fault, at: Micros) -> bool {
    facts.faults.iter().any(|other| {
        KILLING.contains(&other.kind.as_str())
            && other.nodes.iter().any(|node| cut.nodes.contains(node))
            && (other.at.saturating_sub(REPLACED)..=other.at + REPLACED).contains(&at)
    })
}

/// Whether the cluster gave the location up before the cut, so that its agent may know.
fn released(facts: &Facts<'_>, cut: &Fault, service: &str, region: &str) -> bool {
    facts.log.values().any(|seen| {
        let data = &seen.event.data;
        let of_unit = data["unit"]["service"] == service && data["unit"]["region"] == region;
        let gone = match seen.event.kind.as_str() {
            "RegionRemoved" => data["service"] == service && data["region"] == region,
            "ServiceDeleted" => data["service"] == service,
            // The newest assignment counts, and it was there when the region was cut off.
            "UnitReleased" => of_unit && seen.at + REPLACED >= cut.at,
            _ => false,
        };
        gone && (cut.at.saturating_sub(REPLACED)..=cut.at + LEARNED_LATE).contains(&seen.at)
    })
}
