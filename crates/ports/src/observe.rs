//! Gathers observations of the cluster from this node, for [`meridian_domain::status`].

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{join, join3};
use meridian_domain::status::{AgentResponse, Member, Observations, UnitLoads};
use meridian_domain::{AgentName, NodeId};
use tokio::time::Instant;

use crate::{Consistency, Ports};

/// Time that a list waits for observations: it is useful without them.
const LIST_WAIT: Duration = Duration::from_millis(500);
/// Time that the leader and the agents have to respond for a status: it shows those that do not.
const STATUS_WAIT: Duration = Duration::from_secs(1);

/// Observes which agents are reachable. Queries the agents only if the leader's contacts do not
/// decide it.
pub async fn contacts(ports: &Ports, deadline: Instant) -> Observations {
    let members = members(ports, within(deadline, LIST_WAIT)).await;
    let observations = gathered(ports, members, Vec::new()).await;
    if !observations.needs_responses() {
        return observations;
    }
    let agents = ports.cluster.agents(within(deadline, LIST_WAIT)).await;
    Observations { responses: by_name(agents), ..observations }
}

/// Observes which agents are reachable, and the load of their units.
pub async fn contacts_and_loads(ports: &Ports, deadline: Instant) -> Observations {
    let loads = ports.cluster.loads(within(deadline, LIST_WAIT));
    let (observations, loads) = join(contacts(ports, deadline), loads).await;
    Observations { loads, ..observations }
}

/// Observes everything that the status of the cluster needs. Needs no quorum.
pub async fn all(ports: &Ports, deadline: Instant) -> Observations {
    let wait = within(deadline, STATUS_WAIT);
    let responses =
        join3(members(ports, wait), ports.cluster.agents(wait), ports.reachability.votes(wait));
    let (members, agents, votes) = responses.await;
    let votes = votes.unwrap_or_default();
    Observations { votes, ..gathered(ports, members, agents).await }
}

/// Returns the members by node, with the leader's contacts if it responds in time.
pub async fn members(ports: &Ports, deadline: Instant) -> BTreeMap<NodeId, Member> {
    let members = ports.cluster.members(deadline).await;
    members.into_iter().map(|member| (member.node, member)).collect()
}

async fn gathered(
    ports: &Ports,
    members: BTreeMap<NodeId, Member>,
    agents: Vec<AgentResponse>,
) -> Observations {
    // A stale read does not wait; it only returns the age of the last contact.
    let read = ports.read.read(Consistency::Stale, Instant::now()).await;
    Observations {
        contacted: ports.cluster.node(),
        leader: ports.leadership.borrow().leader(),
        leader_contact: read.ok().and_then(|point| point.leader_contact),
        unreachable_after: ports.cluster.unreachable_after(),
        members,
        responses: by_name(agents),
        loads: UnitLoads::new(),
        round_trips: ports.cluster.round_trips(),
        votes: Vec::new(),
    }
}

fn by_name(agents: Vec<AgentResponse>) -> BTreeMap<AgentName, AgentResponse> {
    agents.into_iter().map(|response| (response.agent.clone(), response)).collect()
}

fn within(deadline: Instant, wait: Duration) -> Instant {
    deadline.min(Instant::now() + wait)
}
