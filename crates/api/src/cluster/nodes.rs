//! Which agent a node of the Raft group belongs to.

use meridian_domain::{Agent, NodeId, State};

/// The agent of a node; none while it is not registered, or no longer.
pub(super) fn agent_of(state: &State, node: NodeId) -> Option<&Agent> {
    state.agents.values().find(|agent| agent.description.node == node)
}

/// The name of a node's agent. One that was removed and is still a member has its member id; before
/// the log knows the cluster, all names are empty.
pub(super) fn name_of(state: &State, node: NodeId) -> String {
    match agent_of(state, node) {
        Some(agent) => agent.description.name.to_string(),
        None if state.header.cluster.is_some() => node.to_string(),
        None => String::new(),
    }
}
