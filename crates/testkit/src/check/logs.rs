//! S2: the logs of all agents are equal where they overlap. S3: revisions are unique, without gaps,
//! and never change.
//!
//! Events delivered by watches are compared one by one. Events that an agent holds but never
//! delivered, for example from a snapshot, are compared by their chained hash.

use std::collections::HashMap;

use super::Violation;
use super::facts::Facts;
use crate::history::LoggedEvent;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = equal(facts);
    violations.extend(hashes(facts));
    let mut expected = 1;
    for (revision, seen) in &facts.log {
        if *revision != expected {
            let what = format!("no agent delivered revisions {expected} to {}", revision - 1);
            violations.push(Violation::new("S3", seen.at, what));
        }
        expected = revision + 1;
    }
    violations
}

/// Finds agents whose event chain differs at the same revision.
fn hashes(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut known: HashMap<u64, (&str, &str)> = HashMap::new();
    for state in &facts.states {
        let Some(hash) = state.events.as_deref() else { continue };
        let (other, theirs) = *known.entry(state.revision).or_insert((&state.node, hash));
        if theirs != hash {
            let (node, revision) = (&state.node, state.revision);
            let what = format!(
                "the events up to {revision} have hash {hash} on {node} and {theirs} on {other}"
            );
            violations.push(Violation::new("S2", state.at, what));
        }
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
            let what = format!("{node} delivered {:?}, but {by} delivered {other:?}", seen.event);
            violations.push(Violation::new(invariant, seen.at, what));
        }
    }
    violations
}
