//! One look at the cluster: who is a member, and what each agent says of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::AgentName;
use meridian_ports::{AgentStatus, Member, Progress};
use tokio::time::{Instant, sleep};

use crate::{Ports, deadline};

/// How long agents and leader have to answer. The list is as useful without those that do not.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How long two agents may take to become equal. A refusal is remembered as well and has no revision,
/// so agents can differ for as long as it is on its way.
const SETTLE: Duration = Duration::from_millis(300);

/// What one look at the cluster gives.
pub(super) struct Survey {
    /// Raft's members.
    pub members: Vec<Member>,
    /// What each agent says of itself.
    pub agents: BTreeMap<AgentName, AgentStatus>,
    /// Agents whose states differ at the same revision, and still did a moment later.
    pub differing: Vec<AgentName>,
}

impl Survey {
    /// Asks members and agents, and asks again where two of them differ.
    pub(super) async fn of(ports: &Ports, deadline: Instant) -> Self {
        let wait = deadline::within(deadline, ANSWER_WAIT);
        let asked = futures::future::join(ports.cluster.members(wait), agents_by_name(ports, wait));
        let (members, agents) = asked.await;
        let mut differing = differing(&agents);
        if !differing.is_empty() {
            sleep(SETTLE).await;
            let wait = deadline::within(deadline, ANSWER_WAIT);
            let later = agents_by_name(ports, wait).await;
            differing.retain(|agent| {
                let before = agents.get(agent).and_then(|agent| agent.position);
                let after = later.get(agent).and_then(|agent| agent.position);
                before == after
            });
            // One that stands still differs from nobody who moved on.
            if differing.len() < 2 {
                differing.clear();
            }
        }
        Self { members, agents, differing }
    }
}

async fn agents_by_name(ports: &Ports, deadline: Instant) -> BTreeMap<AgentName, AgentStatus> {
    let agents = ports.cluster.agents(deadline).await;
    agents.into_iter().map(|agent| (agent.agent.clone(), agent)).collect()
}

/// The agents that stand at a revision at which another one has another state.
fn differing(agents: &BTreeMap<AgentName, AgentStatus>) -> Vec<AgentName> {
    let positions: Vec<_> = agents.values().filter_map(|agent| agent.position).collect();
    let differs = |agent: &&AgentStatus| {
        agent.position.is_some_and(|own| {
            let alike = |other: &&Progress| other.revision == own.revision;
            positions.iter().filter(alike).any(|other| other.state != own.state)
        })
    };
    agents.values().filter(differs).map(|agent| agent.agent.clone()).collect()
}
