//! S2: the logs of all agents are equal on what they have in common. S3: revisions are unique, without
//! a gap, and never become another event.
//!
//! What watches show is compared event by event. What an agent has without showing it, from a snapshot
//! for example, is compared by its hash over all events.

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
            let what = format!("no agent ever showed the revisions {expected} to {}", revision - 1);
            violations.push(Violation::new("S3", seen.at, what));
        }
        expected = revision + 1;
    }
    violations
}

/// Agents that had other events up to a revision than another one at any time.
fn hashes(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut known: HashMap<u64, (&str, &str)> = HashMap::new();
    for state in &facts.states {
        let Some(hash) = state.events.as_deref() else { continue };
        let (other, theirs) = *known.entry(state.revision).or_insert((&state.node, hash));
        if theirs != hash {
            let (node, revision) = (&state.node, state.revision);
            let what = format!(
                "the events up to {revision} have the hash {hash} at {node}, and {theirs} at {other}"
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
            let what = format!("{node} has {:?} where {by} had {other:?}", seen.event);
            violations.push(Violation::new(invariant, seen.at, what));
        }
    }
    violations
}
