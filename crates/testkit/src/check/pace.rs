//! L5: an agent that answers keeps up. No fault lasts as long as healing may take, so an agent that
//! stands still for longer while others go on is not sent what it lacks, and the next loss of another
//! one would stop the cluster.

use std::collections::HashMap;

use super::Violation;
use super::facts::Facts;
use crate::history::Micros;

/// Where an agent stands that is behind another one, and since when.
struct Behind {
    applied: u64,
    since: Micros,
}

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let bound = facts.header.converge_within_seconds * 1_000_000;
    let mut violations = Vec::new();
    let mut furthest = 0;
    let mut behind: HashMap<&str, Behind> = HashMap::new();
    for state in &facts.states {
        let Some(applied) = state.applied else { continue };
        furthest = furthest.max(applied);
        if applied == furthest {
            behind.remove(state.node.as_str());
            continue;
        }
        let here = Behind { applied, since: state.at };
        let stands = behind.entry(&state.node).or_insert(here);
        if stands.applied != applied {
            *stands = Behind { applied, since: state.at };
        } else if state.at > stands.since + bound {
            let node = &state.node;
            let what = format!("{node} stands at index {applied}, and another is at {furthest}");
            violations.push(Violation::new("L5", state.at, what));
            stands.since = state.at;
        }
    }
    violations
}
