//! Which agent a node of the Raft group belongs to.

use meridian_domain::{Agent, NodeId, State};

/// The agent of a node; none while it is not registered, or no longer.
pub(super) fn agent_of(state: &State, node: NodeId) -> Option<&Agent> {
    state.agents.values().find(|agent| agent.description.node == node)
}

/// The name of a node's agent; empty where it has none.
pub(super) fn name_of(state: &State, node: NodeId) -> String {
    agent_of(state, node).map(|agent| agent.description.name.to_string()).unwrap_or_default()
}
