//! One look at the cluster: who is a member, and what each agent says of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::AgentName;
use meridian_ports::{AgentStatus, Member, Progress};
use tokio::time::Instant;

use crate::{Ports, deadline};

/// How long agents and leader have to answer. The list is as useful without those that do not.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// What one look at the cluster gives.
pub(super) struct Survey {
    /// Raft's members.
    pub members: Vec<Member>,
    /// What each agent says of itself.
    pub agents: BTreeMap<AgentName, AgentStatus>,
    /// Agents whose states or events differ from those of another one that is equally far.
    pub differing: Vec<AgentName>,
}

impl Survey {
    /// Asks members and agents.
    pub(super) async fn of(ports: &Ports, deadline: Instant) -> Self {
        let wait = deadline::within(deadline, ANSWER_WAIT);
        let asked = futures::future::join(ports.cluster.members(wait), agents_by_name(ports, wait));
        let (members, agents) = asked.await;
        let differing = differing(&agents);
        Self { members, agents, differing }
    }
}

async fn agents_by_name(ports: &Ports, deadline: Instant) -> BTreeMap<AgentName, AgentStatus> {
    let agents = ports.cluster.agents(deadline).await;
    agents.into_iter().map(|agent| (agent.agent.clone(), agent)).collect()
}

/// The agents that differ where none may: in the state at one log index, or in the events up to one
/// revision. A refusal is part of the state and has no revision.
fn differing(agents: &BTreeMap<AgentName, AgentStatus>) -> Vec<AgentName> {
    let positions: Vec<_> = agents.values().filter_map(|agent| agent.position).collect();
    let contradict = |one: &Progress, other: &Progress| {
        one.applied == other.applied && one.state != other.state
            || one.revision == other.revision && one.events != other.events
    };
    let differs = |agent: &&AgentStatus| {
        agent.position.is_some_and(|own| positions.iter().any(|other| contradict(&own, other)))
    };
    agents.values().filter(differs).map(|agent| agent.agent.clone()).collect()
}
