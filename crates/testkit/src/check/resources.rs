//! L6: an agent at rest after the run holds as many descriptors, sockets and threads as an agent of
//! its role held before the load, plus an allowance, and its memory has grown by less than a factor.
//! Agents that were restarted meanwhile are held to the same bounds: they had less time to leak.

use super::Violation;
use super::facts::Facts;
use crate::history::{Resources, mark};

/// Allowance for descriptors and sockets: elections and restarts leave connections between agents
/// that are closed only after they were idle. A leak of one per change or connection is far above it.
const EXTRA_DESCRIPTORS: u64 = 8;
/// Allowance for the descriptors and sockets of each unit beyond the number before the load; two are
/// needed.
const DESCRIPTORS_PER_UNIT: u64 = 4;
/// Allowance for threads: those of the blocking pool end 10 s after their last use.
const EXTRA_THREADS: u64 = 8;
/// Maximum growth of the memory. A minute of load adds a tenth; more load adds up to 65,536 outcomes
/// of requests and fills the caches of the stores.
const MEMORY_FACTOR: u64 = 3;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let Some(load) = facts.mark(mark::LOAD) else { return Vec::new() };
    let (before, after): (Vec<&Resources>, Vec<_>) =
        facts.resources.iter().partition(|it| it.at < load);
    let mut violations = Vec::new();
    for sample in after {
        let role = before.iter().copied().filter(|it| it.leader == sample.leader);
        let Some(baseline) = role.cloned().reduce(greater) else { continue };
        let leaks = leaks(&baseline, sample).into_iter();
        violations.extend(leaks.map(|what| Violation::new("L6", sample.at, what)));
    }
    violations
}

/// Returns the greater of each number: agents of one role differ a little.
fn greater(a: Resources, b: Resources) -> Resources {
    Resources {
        units: a.units.max(b.units),
        descriptors: a.descriptors.max(b.descriptors),
        sockets: a.sockets.max(b.sockets),
        threads: a.threads.max(b.threads),
        resident_kib: a.resident_kib.max(b.resident_kib),
        ..a
    }
}

/// Returns the resources of which more are held than allowed.
fn leaks(before: &Resources, after: &Resources) -> Vec<String> {
    let units = DESCRIPTORS_PER_UNIT * after.units.saturating_sub(before.units);
    let bounds = [
        ("descriptors", after.descriptors, before.descriptors + EXTRA_DESCRIPTORS + units),
        ("sockets", after.sockets, before.sockets + EXTRA_DESCRIPTORS + units),
        ("threads", after.threads, before.threads + EXTRA_THREADS),
        ("KiB of memory", after.resident_kib, before.resident_kib * MEMORY_FACTOR),
    ];
    let leaked = bounds.into_iter().filter(|(_, held, bound)| held > bound);
    let leaked = leaked.map(|(what, held, bound)| {
        format!("{} holds {held} {what} at rest, at most {bound} expected", after.node)
    });
    leaked.collect()
}
