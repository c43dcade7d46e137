//! V1: a run in which nothing happened proves nothing. Changes went on at a rate, and faults were not
//! only injected but felt.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::{Summary, Violation};
use crate::history::{Micros, Step, mark};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let rate = Summary::of(facts).acknowledged_per_second;
    let least = facts.header.least_changes_per_second;
    if rate < least {
        let at = facts.mark(mark::LOAD_ENDED).unwrap_or_default();
        let what =
            format!("{rate:.1} changes were acknowledged in a second of load, not {least:.1}");
        violations.push(Violation::new("V1", at, what));
    }
    let mut felt: BTreeMap<&str, (Micros, bool)> = BTreeMap::new();
    for fault in &facts.faults {
        let (_, felt) = felt.entry(&fault.kind).or_insert((fault.at, false));
        *felt |= matches!(fault.step, Step::Bit { .. });
    }
    if felt.is_empty() {
        violations.push(Violation::new("V1", 0, "no fault was injected".to_owned()));
    }
    for (kind, (at, _)) in felt.into_iter().filter(|(_, (_, felt))| !felt) {
        let what = format!("no fault of the kind {kind} was seen to have any effect");
        violations.push(Violation::new("V1", at, what));
    }
    violations
}
