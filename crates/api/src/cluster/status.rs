//! The status of the cluster.

use meridian_domain::State;
use meridian_domain::status::{self, AgentCondition, Observations};
use meridian_ports::observe;
use meridian_proto::convert::time;
use meridian_proto::v1;
use meridian_wording::{name_of, warnings};
use tokio::time::Instant;

use crate::{Ports, convert};

/// Queries every agent and the leader, and returns the status. Needs no quorum.
pub(super) async fn get(ports: &Ports, deadline: Instant) -> v1::GetStatusResponse {
    let observations = observe::all(ports, deadline).await;
    let state = ports.read.state();
    let cluster = status::cluster(&state, &observations);
    v1::GetStatusResponse {
        cluster_id: ports.cluster.id().to_string(),
        contacted: name_of(&state, observations.contacted),
        leader: observations.leader.map(|leader| name_of(&state, leader)).unwrap_or_default(),
        agents: agents(&state, &observations),
        warnings: warnings(&state, &cluster).into_iter().map(convert::warning).collect(),
        data_version: state.header.data_version.0,
        observer: convert::observer(&state, &observations),
        health: convert::health(cluster.health()).into(),
        epoch: ports.cluster.epoch().0,
    }
}

fn agents(state: &State, observations: &Observations) -> Vec<v1::AgentStatus> {
    let rows = state.agents.values().map(|agent| {
        let response = observations.responses.get(&agent.description.name);
        let position = response.and_then(|response| response.position);
        let (reachable, silence) = match status::agent(observations, agent) {
            AgentCondition::Reachable => (true, None),
            AgentCondition::NotResponding => (false, None),
            AgentCondition::Unreachable { silence } => (false, Some(silence)),
        };
        v1::AgentStatus {
            name: agent.description.name.to_string(),
            region: agent.description.region.to_string(),
            revision: position.map(|at| at.revision.0),
            state_hash: position.map(|at| at.state.to_string()).unwrap_or_default(),
            lag: response.and_then(|response| response.lag).map(time::duration),
            reachable,
            witness: agent.description.witness,
            drained: agent.drained,
            applied: position.map(|at| at.applied),
            events_hash: position.map(|at| at.events.to_string()).unwrap_or_default(),
            silence: silence.map(convert::silence),
        }
    });
    rows.collect()
}
