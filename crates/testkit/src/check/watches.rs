//! S7: a watch delivers the requested revision first, then every following one.

use super::Violation;
use super::facts::Facts;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, stream) in &facts.streams {
        let mut expected = stream.watch.from.max(1);
        for seen in &stream.events {
            let revision = seen.event.revision;
            if revision != expected {
                let node = &stream.watch.node;
                let what = format!("watch {number} at {node}: revision {revision}, not {expected}");
                violations.push(Violation::new("S7", seen.at, what));
            }
            expected = revision + 1;
        }
    }
    violations
}
