//! How far every agent is.

use meridian_domain::State;
use meridian_proto::convert::time;
use meridian_proto::v1;
use tokio::time::Instant;

use super::nodes::name_of;
use super::survey::Survey;
use super::warnings;
use crate::Ports;

/// Asks every agent, whatever becomes of the majority.
pub(super) async fn of(ports: &Ports, deadline: Instant) -> v1::GetStatusResponse {
    let survey = Survey::of(ports, deadline).await;
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

fn rows(state: &State, survey: &Survey) -> Vec<v1::AgentStatus> {
    let rows = state.agents.values().map(|agent| {
        let said = survey.agents.get(&agent.description.name);
        let position = said.and_then(|said| said.position);
        v1::AgentStatus {
            name: agent.description.name.to_string(),
            region: agent.description.region.to_string(),
            revision: position.map(|at| at.revision.0),
            state_hash: position.map(|at| at.state.to_string()).unwrap_or_default(),
            lag: said.and_then(|said| said.lag).map(time::duration),
            reachable: position.is_some(),
            witness: agent.description.witness,
            drained: agent.drained,
            applied: position.map(|at| at.applied),
            events_hash: position.map(|at| at.events.to_string()).unwrap_or_default(),
        }
    });
    rows.collect()
}
