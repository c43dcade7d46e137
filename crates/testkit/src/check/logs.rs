//! S2: the logs of all agents are equal on what they have in common. S3: revisions are unique, without
//! a gap, and never become another event.

use std::collections::HashMap;

use super::Violation;
use super::facts::Facts;
use crate::history::LoggedEvent;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = equal(facts);
    let mut expected = 1;
    for (revision, seen) in &facts.log {
        if *revision != expected {
            let what = format!("no agent ever showed the revisions {expected} to {}", revision - 1);
            violations.push(Violation::new("S3", seen.at, what));
        }
        expected = revision + 1;
    }
    violations
}

fn equal(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut shown: HashMap<(&str, u64), &LoggedEvent> = HashMap::new();
    for stream in facts.streams.values() {
        let node = stream.watch.node.as_str();
        for seen in &stream.events {
            let revision = seen.event.revision;
            let earlier = *shown.entry((node, revision)).or_insert(&seen.event);
            let (invariant, other, by) = if *earlier != seen.event {
                ("S3", earlier, "the same agent, earlier")
            } else {
                let first = facts.log[&revision];
                let by = facts.streams.get(&first.stream).map_or("", |it| it.watch.node.as_str());
                if first.event == seen.event || by == node {
                    continue;
                }
                ("S2", &first.event, by)
            };
            let what = format!("{node} has {:?} where {by} had {other:?}", seen.event);
            violations.push(Violation::new(invariant, seen.at, what));
        }
    }
    violations
}
