//! L7: soon after the disk of the leader began to hang, another agent leads.

use super::Violation;
use super::facts::Facts;
use crate::history::{Micros, Step};

/// Kind of the faults that this applies to.
const KIND: &str = "disk-hang";
/// Maximum time until another agent is observed to lead, in microseconds: a disk counts as stalled
/// after 5 s, and the transfer of leadership and an election follow.
const TAKEOVER: Micros = 10_000_000;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let started = facts.faults.iter().filter(|it| it.kind == KIND && it.step == Step::Started);
    let late = started.filter(|fault| {
        let in_time = fault.at..=fault.at + TAKEOVER;
        let mut leaders = facts.leaders.iter().filter(|leads| in_time.contains(&leads.at));
        !leaders.any(|leads| !fault.nodes.contains(&leads.node))
    });
    let violations = late.map(|fault| {
        let (node, seconds) = (fault.nodes.join(" "), TAKEOVER / 1_000_000);
        let what =
            format!("no other agent led within {seconds} s after the disk of {node} began to hang");
        Violation::new("L7", fault.at + TAKEOVER, what)
    });
    violations.collect()
}
