//! S4: the same log produces the same state on every agent, whether it applied the entries or
//! installed a snapshot.
//!
//! Agents at the same log index are compared at any time. Rejections are part of the state and have
//! no revision, so agents at the same revision may differ while operations are in flight: they are
//! compared in the quiescent phase only.

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use super::facts::Facts;
use crate::history::{StateHash, mark};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = indexes(facts);
    let Some(quiescent) = facts.mark(mark::QUIESCENT) else { return violations };
    let mut by_revision: BTreeMap<u64, &StateHash> = BTreeMap::new();
    let mut last: BTreeMap<&str, &StateHash> = BTreeMap::new();
    for state in facts.states.iter().filter(|state| state.at >= quiescent) {
        last.insert(&state.node, state);
        let other = by_revision.entry(state.revision).or_insert(state);
        if other.hash != state.hash {
            let StateHash { node, revision, hash, .. } = state;
            let (other, theirs) = (&other.node, &other.hash);
            let what =
                format!("at revision {revision}, {node} has hash {hash} and {other} has {theirs}");
            violations.push(Violation::new("S4", state.at, what));
        }
    }
    for node in &facts.header.nodes {
        if !last.contains_key(node.name.as_str()) {
            let what = format!("{} did not report its state at the end", node.name);
            violations.push(Violation::new("S4", quiescent, what));
        }
    }
    let newest = last.values().map(|state| state.revision).max();
    for state in last.values().filter(|state| Some(state.revision) < newest) {
        let newest = newest.unwrap_or_default();
        let what = format!("{} ends at revision {}, behind {newest}", state.node, state.revision);
        violations.push(Violation::new("S4", state.at, what));
    }
    violations
}

/// Finds agents whose state differs at the same log index.
fn indexes(facts: &Facts<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut known: HashMap<u64, &StateHash> = HashMap::new();
    for state in &facts.states {
        let Some(applied) = state.applied else { continue };
        let other = *known.entry(applied).or_insert(state);
        if other.hash != state.hash {
            let StateHash { node, hash, .. } = state;
            let (other, theirs) = (&other.node, &other.hash);
            let what =
                format!("at index {applied}, {node} has hash {hash} and {other} has {theirs}");
            violations.push(Violation::new("S4", state.at, what));
        }
    }
    violations
}
