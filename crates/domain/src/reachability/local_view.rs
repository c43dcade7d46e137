//! The state as one agent sees it.

use std::collections::BTreeSet;

use crate::id::Timestamp;
use crate::loss::{Evidence, Gateways, Loss};
use crate::name::AgentName;
use crate::state::State;

/// Returns the state in which these gateways count as lost, in addition to those on which a majority
/// agreed. Without a leader nothing is agreed, and an agent goes by what it fails to reach itself:
/// for its own responses to clients only, never for the log.
#[must_use]
pub fn local_view(state: &State, unreachable: &BTreeSet<(AgentName, Gateways)>) -> State {
    let mut seen = state.clone();
    let loss = Loss {
        evidence: Evidence { unreachable_from: BTreeSet::new(), groups: 0 },
        revision: state.header.revision,
        since: Timestamp(0),
        found: None,
        relapses: 0,
    };
    for (agent, gateways) in unreachable {
        let losses = seen.losses.entry(agent.clone()).or_default();
        if !losses.get(gateways).is_some_and(Loss::is_current) {
            losses.insert(gateways.clone(), loss.clone());
        }
    }
    seen
}
