//! V1: the run is meaningful. Changes were acknowledged at the minimum rate, and every kind of
//! fault had an observed effect.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::{Summary, Violation};
use crate::history::{Micros, Step, mark};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let rate = Summary::of(facts).acknowledged_per_second;
    let minimum = facts.header.min_changes_per_second;
    if rate < minimum {
        let at = facts.mark(mark::LOAD_ENDED).unwrap_or_default();
        let what =
            format!("{rate:.1} changes acknowledged per second of load, minimum {minimum:.1}");
        violations.push(Violation::new("V1", at, what));
    }
    let mut effective: BTreeMap<&str, (Micros, bool)> = BTreeMap::new();
    for fault in &facts.faults {
        let (_, effective) = effective.entry(&fault.kind).or_insert((fault.at, false));
        *effective |= matches!(fault.step, Step::Effective { .. });
    }
    if effective.is_empty() {
        violations.push(Violation::new("V1", 0, "no fault was injected".to_owned()));
    }
    for (kind, (at, _)) in effective.into_iter().filter(|(_, (_, effective))| !effective) {
        let what = format!("no fault of kind {kind} had an observed effect");
        violations.push(Violation::new("V1", at, what));
    }
    violations
}
