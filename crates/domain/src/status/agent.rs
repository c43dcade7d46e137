//! Status of an agent.

use crate::agent::Agent;
use crate::id::NodeId;
use crate::state::State;

use super::observations::{Observations, Silence};

/// Condition of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentCondition {
    /// The observer has heard from it recently.
    Reachable,
    /// It did not respond to the contacted node just now, and the observer has heard from it
    /// recently.
    NotResponding,
    /// The observer has not heard from it for twice the maximum election timeout.
    Unreachable {
        /// Time since the observer last heard from it.
        silence: Silence,
    },
}

/// Returns the condition of an agent. An agent of which nothing is known counts as reachable.
#[must_use]
pub fn agent(observations: &Observations, agent: &Agent) -> AgentCondition {
    if let Some(silence) = observations.silence(agent) {
        return AgentCondition::Unreachable { silence };
    }
    match observations.responses.get(&agent.description.name) {
        Some(response) if response.position.is_none() => AgentCondition::NotResponding,
        Some(_) | None => AgentCondition::Reachable,
    }
}

/// Returns the agent of a node; `None` if it is not registered, or was removed.
#[must_use]
pub fn agent_of(state: &State, node: NodeId) -> Option<&Agent> {
    state.agents.values().find(|agent| agent.description.node == node)
}
