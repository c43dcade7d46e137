//! S4: the same log makes the same state at every agent, whether it applied the entries or received a
//! snapshot.
//!
//! Agents at the same log index are compared at any time. Refusals are part of the state and have no
//! revision, so agents at one revision may differ for as long as calls run: those are compared when none
//! do.

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use super::facts::Facts;
use crate::history::{StateHash, mark};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = indexes(facts);
    let Some(calm) = facts.mark(mark::CALM) else { return violations };
    let mut by_revision: BTreeMap<u64, &StateHash> = BTreeMap::new();
    let mut last: BTreeMap<&str, &StateHash> = BTreeMap::new();
    for state in facts.states.iter().filter(|state| state.at >= calm) {
        last.insert(&state.node, state);
        let other = by_revision.entry(state.revision).or_insert(state);
        if other.hash != state.hash {
            let StateHash { node, revision, hash, .. } = state;
            let (other, theirs) = (&other.node, &other.hash);
            let what =
                format!("at revision {revision}, {node} has {hash} and {other} has {theirs}");
            violations.push(Violation::new("S4", state.at, what));
        }
    }
    for node in &facts.header.nodes {
        if !last.contains_key(node.name.as_str()) {
            let what = format!("{} did not tell its state at the end", node.name);
            violations.push(Violation::new("S4", calm, what));
        }
    }
    let newest = last.values().map(|state| state.revision).max();
    for state in last.values().filter(|state| Some(state.revision) < newest) {
        let newest = newest.unwrap_or_default();
        let what = format!("{} ends at {}, behind {newest}", state.node, state.revision);
        violations.push(Violation::new("S4", state.at, what));
    }
    violations
}

/// Agents that made another state of the entries up to an index than another one.
fn indexes(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut known: HashMap<u64, &StateHash> = HashMap::new();
    for state in &facts.states {
        let Some(applied) = state.applied else { continue };
        let other = *known.entry(applied).or_insert(state);
        if other.hash != state.hash {
            let StateHash { node, hash, .. } = state;
            let (other, theirs) = (&other.node, &other.hash);
            let what = format!("at index {applied}, {node} has {hash} and {other} has {theirs}");
            violations.push(Violation::new("S4", state.at, what));
        }
    }
    violations
}
