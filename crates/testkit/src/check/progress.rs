//! L5: a responsive agent makes progress. Every fault is shorter than the convergence bound. An
//! agent that stays behind for longer while others advance therefore does not receive the entries
//! that it lacks, and the next loss of another agent would break the quorum.

use std::collections::HashMap;

use super::Violation;
use super::facts::Facts;
use crate::history::Micros;

/// Position of an agent that is behind, and the time since when it has been there.
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
        let lagging = behind.entry(&state.node).or_insert(here);
        if lagging.applied != applied {
            *lagging = Behind { applied, since: state.at };
        } else if state.at > lagging.since + bound {
            let node = &state.node;
            let what =
                format!("{node} is stuck at index {applied} while another agent is at {furthest}");
            violations.push(Violation::new("L5", state.at, what));
            lagging.since = state.at;
        }
    }
    violations
}
