//! Facts that the log does not record, with their observer and their age.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::Agent;
use crate::id::{Digest, Incarnation, NodeId, Revision};
use crate::name::AgentName;
use crate::reachability::votes::VoteCount;

use super::member::{LastContact, Member};
use super::settings::SharedSettings;

/// Multiple of the silence of an unreachable agent within which the loss of its gateways is agreed, with
/// any network profile: a window of probes is at most twice as long as that silence.
const PROBES_IN_SILENCES: u32 = 4;

/// Observations that one node, the contacted one, gathered at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observations {
    /// The node that gathered them.
    pub contacted: NodeId,
    /// The leader that the contacted node follows, or is; it may have failed since.
    pub leader: Option<NodeId>,
    /// Time since the contacted node last heard from a leader; `None` if it never did.
    pub leader_contact: Option<Duration>,
    /// Silence after which an agent counts as unreachable: twice the maximum election timeout.
    pub unreachable_after: Duration,
    /// The members, with the leader's contacts if the leader responded.
    pub members: BTreeMap<NodeId, Member>,
    /// Responses of the agents to the contacted node; empty if it sent no requests.
    pub responses: BTreeMap<AgentName, AgentResponse>,
    /// Load of the units whose agents responded; empty if it was not requested.
    pub loads: UnitLoads,
    /// Round trips from the contacted node to the other members.
    pub round_trips: MedianRoundTrips,
    /// Votes on gateways, as the leader counted them last; empty if it did not respond, or was not asked.
    pub votes: Vec<VoteCount>,
}

/// Node whose contacts decide which agents are reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The leader. Its contacts are acknowledgements of its appends.
    Leader,
    /// The contacted node, because no leader responded to it. Its contacts are responses to its
    /// requests.
    Contacted,
}

/// Time since an unreachable agent was last heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Exactly this long.
    Exactly(Duration),
    /// At least this long.
    AtLeast(Duration),
    /// Not known: it does not respond, and the observer has no earlier contact to compare with.
    Unmeasured,
}

/// Response of an agent to a request of the contacted node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentResponse {
    /// The agent.
    pub agent: AgentName,
    /// The state that it has applied; `None` if it did not respond in time.
    pub position: Option<Progress>,
    /// Time since it last heard from the leader; `None` if unknown.
    pub lag: Option<Duration>,
    /// Space of the disk of its data directory; `None` if unknown.
    pub disk: Option<DiskSpace>,
    /// True if a second process sent requests with its node id recently.
    pub duplicated: bool,
    /// Its settings that are to be equal on all agents; empty if it did not respond in time.
    pub settings: SharedSettings,
}

/// Free space of the disk of an agent's data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free bytes.
    pub free: u64,
    /// Minimum of free bytes, below which the agent accepts no changes as leader; 0 for no minimum.
    pub minimum: u64,
}

impl DiskSpace {
    /// Returns true if the free space is below the minimum.
    #[must_use]
    pub fn is_below_minimum(self) -> bool {
        self.free < self.minimum
    }

    /// Returns true if the free space is below the minimum or near it: less than twice as much.
    #[must_use]
    pub fn is_low(self) -> bool {
        self.free < self.minimum.saturating_mul(2)
    }
}

/// Applied state of an agent at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Revision of the last event.
    pub revision: Revision,
    /// Last log index. Rejected requests have an index and no revision: agents at the same index
    /// have the same state, and agents at the same revision have the same events.
    pub applied: u64,
    /// Hash of the whole state, outcomes of requests included.
    pub state: Digest,
    /// Hash over all events.
    pub events: Digest,
}

/// Round trips from a node to other members, measured over the last seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MedianRoundTrips {
    /// Median by member; a member with too few responses is missing.
    pub medians: BTreeMap<NodeId, Duration>,
    /// Maximum between voters, from the node's network profile.
    pub limit: Duration,
}

/// Load of a unit, measured at most a few seconds ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitLoad {
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests in flight, in thousandths of the unit's maximum, smoothed over a few seconds.
    pub utilization_permille: u32,
}

/// Load of units by incarnation.
pub type UnitLoads = BTreeMap<Incarnation, UnitLoad>;

impl Observations {
    /// Returns the source of the contacts.
    #[must_use]
    pub fn source(&self) -> Source {
        match self.members.values().any(|member| member.last_contact.is_some()) {
            true => Source::Leader,
            false => Source::Contacted,
        }
    }

    /// Returns the id of the node whose contacts these are.
    #[must_use]
    pub fn observer(&self) -> NodeId {
        match self.source() {
            Source::Leader => self.leader.unwrap_or(self.contacted),
            Source::Contacted => self.contacted,
        }
    }

    /// True if reachability also depends on the agents' responses to the contacted node: no leader
    /// responded, or it was elected too recently to have heard from every member.
    #[must_use]
    pub fn needs_responses(&self) -> bool {
        let is_undecided = |member: &Member| match member.last_contact {
            Some(LastContact::NotWithin(silence)) => silence < self.unreachable_after,
            Some(LastContact::Ago(_)) => false,
            None => self.source() == Source::Contacted,
        };
        self.members.values().any(is_undecided)
    }

    /// Returns the silence of an unreachable agent; `None` if it is reachable, or nothing is known.
    ///
    /// An agent from which a new leader has not heard at all is also unreachable if it does not
    /// respond to the contacted node. Without a leader, an agent that does not respond to the contacted
    /// node is unreachable once that node has not heard from a leader for as long.
    #[must_use]
    pub fn silence(&self, agent: &Agent) -> Option<Silence> {
        let node = agent.description.node;
        let response = self.responses.get(&agent.description.name);
        let is_mute = response.is_some_and(|response| response.position.is_none());
        match self.source() {
            Source::Leader => self.silence_to_leader(node, is_mute),
            Source::Contacted if node == self.contacted => None,
            Source::Contacted if !is_mute || self.followed_recently() => None,
            Source::Contacted => Some(self.silence_to_contacted(node)),
        }
    }

    /// True if an agent has been silent for so long that its gateways would be lost by now if the
    /// others could not reach them: probes take a fraction of this time. Without a quorum no loss is
    /// agreed, so then this is never known.
    #[must_use]
    pub(super) fn outlasts_probes(&self, silence: Silence) -> bool {
        let (Silence::Exactly(silence) | Silence::AtLeast(silence)) = silence else { return false };
        self.has_quorum() && silence >= self.unreachable_after.saturating_mul(PROBES_IN_SILENCES)
    }

    /// True if the leader heard from a majority of the voters recently.
    fn has_quorum(&self) -> bool {
        let voters = self.members.values().filter(|member| member.voter);
        let is_heard = |member: &&Member| matches!(member.last_contact, Some(LastContact::Ago(ago)) if ago < self.unreachable_after);
        voters.clone().filter(is_heard).count() > voters.count() / 2
    }

    /// Returns the silence of an unreachable member; `None` if it is reachable, or nothing is known.
    pub(super) fn silence_to_leader(&self, node: NodeId, is_mute: bool) -> Option<Silence> {
        match self.members.get(&node)?.last_contact? {
            LastContact::Ago(silence) => {
                (silence >= self.unreachable_after).then_some(Silence::Exactly(silence))
            }
            LastContact::NotWithin(silence) => {
                (is_mute || silence >= self.unreachable_after).then_some(Silence::AtLeast(silence))
            }
        }
    }

    /// True if the contacted node heard from a leader so recently that an agent that does not
    /// respond to it may only be slow.
    fn followed_recently(&self) -> bool {
        self.leader_contact.is_some_and(|silence| silence < self.unreachable_after)
    }

    /// The contacted node keeps contact times of its leader only.
    fn silence_to_contacted(&self, node: NodeId) -> Silence {
        match self.leader_contact.filter(|_| self.leader == Some(node)) {
            Some(silence) => Silence::Exactly(silence),
            None => Silence::Unmeasured,
        }
    }
}
