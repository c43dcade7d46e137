//! How far every agent is.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::{AgentName, State};
use meridian_ports::{AgentStatus, Member};
use meridian_proto::convert::time;
use meridian_proto::v1;
use tokio::time::{Instant, sleep};

use super::{name_of, warnings};
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

/// Asks every agent, whatever becomes of the majority.
pub(super) async fn of(ports: &Ports, deadline: Instant) -> v1::GetStatusResponse {
    let survey = survey(ports, deadline).await;
    let state = ports.read.state();
    let leader = ports.cluster.leader();
    v1::GetStatusResponse {
        cluster_id: ports.cluster.id().to_string(),
        answered_by: name_of(&state, ports.cluster.node()),
        leader: leader.map(|leader| name_of(&state, leader)).unwrap_or_default(),
        agents: rows(&state, &survey),
        warnings: warnings::of(&state, leader, &survey),
        data_version: state.header.data_version.0,
    }
}

async fn survey(ports: &Ports, deadline: Instant) -> Survey {
    let wait = deadline::within(deadline, ANSWER_WAIT);
    let asked = futures::future::join(ports.cluster.members(wait), agents(ports, wait));
    let (members, agents) = asked.await;
    let mut differing = differing(&agents);
    if !differing.is_empty() {
        sleep(SETTLE).await;
        let wait = deadline::within(deadline, ANSWER_WAIT);
        let later = self::agents(ports, wait).await;
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
    Survey { members, agents, differing }
}

async fn agents(ports: &Ports, deadline: Instant) -> BTreeMap<AgentName, AgentStatus> {
    let agents = ports.cluster.agents(deadline).await;
    agents.into_iter().map(|agent| (agent.agent.clone(), agent)).collect()
}

/// The agents that stand at a revision at which another one has another state.
fn differing(agents: &BTreeMap<AgentName, AgentStatus>) -> Vec<AgentName> {
    let positions: Vec<_> = agents.values().filter_map(|agent| agent.position).collect();
    let differs = |agent: &&AgentStatus| {
        let own = agent.position;
        own.is_some_and(|(revision, hash)| {
            positions.iter().any(|other| other.0 == revision && other.1 != hash)
        })
    };
    agents.values().filter(differs).map(|agent| agent.agent.clone()).collect()
}

fn rows(state: &State, survey: &Survey) -> Vec<v1::AgentStatus> {
    let rows = state.agents.values().map(|agent| {
        let said = survey.agents.get(&agent.description.name);
        let position = said.and_then(|said| said.position);
        v1::AgentStatus {
            name: agent.description.name.to_string(),
            region: agent.description.region.to_string(),
            revision: position.map(|(revision, _)| revision.0),
            state_hash: position.map(|(_, hash)| hash.to_string()).unwrap_or_default(),
            lag: said.and_then(|said| said.lag).map(time::duration),
            reachable: position.is_some(),
            witness: agent.description.witness,
            drained: agent.drained,
        }
    });
    rows.collect()
}
