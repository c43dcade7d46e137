//! What the answer to a drain or a removal says beside the events: what is not there yet, and what
//! will not come by itself.

use meridian_domain::{Agent, AgentName, NodeId, RegionName, State};
use meridian_proto::v1;
use tokio::time::Instant;

use super::{MEMBERS_WAIT, pending};
use crate::{Ports, deadline};

/// An agent that is about to be drained or removed.
pub(super) struct Leaving {
    node: NodeId,
    region: RegionName,
}

impl Leaving {
    /// The agent of that name, while it is known.
    pub(super) fn of(state: &State, name: &str) -> Option<Self> {
        let agent = state.agents.get(&AgentName::new(name).ok()?)?;
        let (node, region) = (agent.description.node, agent.description.region.clone());
        Some(Self { node, region })
    }

    /// What waits now that this has happened to it.
    pub(super) async fn waits(&self, ports: &Ports, deadline: Instant) -> Vec<v1::Wait> {
        let deadline = deadline::within(deadline, MEMBERS_WAIT);
        let members = ports.cluster.members(deadline).await;
        let state = ports.read.state();
        let own = members.iter().find(|member| member.node == self.node);
        let vote = own.and_then(|member| pending::wait(&state, member));
        vote.into_iter().chain(self.homeless(&state)).collect()
    }

    /// The services that have no capacity any more where it lives.
    fn homeless(&self, state: &State) -> Option<v1::Wait> {
        let region = &self.region;
        let in_the_region = |agent: &&Agent| agent.description.region == *region;
        if state.agents.values().filter(in_the_region).any(|agent| agent.takes_units()) {
            return None;
        }
        let services = state.services.values();
        let left = services.filter(|service| service.locations.contains_key(region));
        let names: Vec<_> = left.map(|service| service.name.as_str()).collect();
        let names = (!names.is_empty()).then(|| names.join(", "))?;
        Some(v1::Wait {
            cause: format!(
                "no agent in {region} takes units any more: those of {names} end there, and no \
                 other region takes their place"
            ),
            next_step: format!(
                "add units elsewhere with `meridian region scale`, or join an agent in {region}"
            ),
        })
    }
}
