//! Status of the cluster: everything that an operator should know, worst first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::Agent;
use crate::id::NodeId;
use crate::name::{AgentName, RegionName, ServiceName};
use crate::state::State;

use super::agent::{AgentCondition, agent as agent_condition, agent_of};
use super::location::{LocationCondition, LocationStatus, location};
use super::member::{Member, MemberChange, PendingMember, WaitsFor, pending_member};
use super::observations::{AgentResponse, DiskSpace, Observations, Progress, Silence, Source};
use super::settings::SharedSetting;

/// Minimum number of voters with which the loss of any one stops no changes.
const SAFE_VOTERS: usize = 3;

/// Status of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Everything that an operator should know, worst first.
    pub conditions: Vec<Condition>,
}

/// Condition that an operator should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Fewer voters are reachable than a majority.
    NoQuorum {
        /// Voters that are reachable.
        reachable: usize,
        /// All voters.
        voters: usize,
        /// Voters that make a majority.
        needed: usize,
    },
    /// Enough voters are reachable, and none of them is known to lead.
    NoLeader,
    /// Agents at the same position hold different states or events.
    StatesDiffer {
        /// Those agents.
        agents: Vec<AgentName>,
    },
    /// Agents have different values of a setting that is to be equal on all of them.
    SettingDiffers {
        /// The setting.
        setting: SharedSetting,
        /// Each value, with the agents that have it.
        values: BTreeMap<String, Vec<AgentName>>,
    },
    /// An agent is unreachable, so the state of its units is unknown.
    AgentUnreachable {
        /// The agent.
        agent: AgentName,
        /// Its region.
        region: RegionName,
        /// Time since it was last heard from.
        silence: Silence,
        /// Its units.
        units: usize,
    },
    /// Two processes run with the node id of an agent.
    AgentDuplicated {
        /// The agent.
        agent: AgentName,
    },
    /// The disk of an agent is below its minimum of free space, or near it.
    DiskLow {
        /// The agent.
        agent: AgentName,
        /// Its region.
        region: RegionName,
        /// Space of its disk.
        disk: DiskSpace,
        /// True if it leads, so that it decides whether changes are accepted.
        leads: bool,
    },
    /// A membership change cannot proceed.
    MemberPending(PendingMember),
    /// The round trip between two voters is longer than the network profile allows.
    LongRoundTrip {
        /// The contacted node, which measured it.
        observer: NodeId,
        /// The agent of the other voter.
        agent: AgentName,
        /// Median of the latest round trips.
        median: Duration,
        /// Maximum of the network profile.
        limit: Duration,
    },
    /// An agent did not respond to the contacted node, and the leader has heard from it recently.
    AgentNotResponding {
        /// The agent.
        agent: AgentName,
        /// Its region.
        region: RegionName,
    },
    /// A location is not as declared.
    Location {
        /// The service.
        service: ServiceName,
        /// The region.
        region: RegionName,
        /// Units declared.
        units: u16,
        /// Its status.
        status: LocationStatus,
    },
    /// With this few voters, the loss of one stops all changes.
    FewVoters {
        /// All voters.
        voters: usize,
    },
}

/// Severity of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Informational: everything works as declared, or will without an operator.
    Notice,
    /// Capacity or redundancy is below what was declared.
    Degraded,
    /// No change is accepted.
    ChangesRefused,
}

/// Health of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// At most notices.
    Healthy,
    /// Capacity or redundancy is below what was declared.
    Degraded,
    /// No change is accepted.
    ChangesRefused,
}

impl ClusterStatus {
    /// Returns the health that the worst condition leaves.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.conditions.iter().map(Condition::severity).max() {
            None | Some(Severity::Notice) => Health::Healthy,
            Some(Severity::Degraded) => Health::Degraded,
            Some(Severity::ChangesRefused) => Health::ChangesRefused,
        }
    }
}

impl Condition {
    /// Returns the severity.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::NoQuorum { .. } | Self::NoLeader => Severity::ChangesRefused,
            Self::StatesDiffer { .. }
            | Self::AgentDuplicated { .. }
            | Self::AgentUnreachable { .. }
            | Self::LongRoundTrip { .. }
            | Self::AgentNotResponding { .. } => Severity::Degraded,
            Self::DiskLow { disk, leads, .. } => match (disk.is_below_minimum(), leads) {
                (true, true) => Severity::ChangesRefused,
                (true, false) => Severity::Degraded,
                (false, _) => Severity::Notice,
            },
            Self::SettingDiffers { setting, .. } => setting.severity(),
            Self::MemberPending(pending) => pending.severity(),
            Self::Location { status, .. } => status.severity(),
            Self::FewVoters { .. } => Severity::Notice,
        }
    }
}

impl SharedSetting {
    /// Agents of different network profiles may depose each other's leader. The other settings decide
    /// only how much of the log an agent keeps.
    fn severity(self) -> Severity {
        match self {
            Self::Network => Severity::Degraded,
            Self::SnapshotAfterEntries | Self::KeepEntries => Severity::Notice,
        }
    }
}

impl PendingMember {
    fn severity(&self) -> Severity {
        match (self.change, &self.waits_for) {
            (_, WaitsFor::CatchUp { .. }) => Severity::Notice,
            (
                MemberChange::GainVote | MemberChange::LoseVote | MemberChange::Leave,
                WaitsFor::Response
                | WaitsFor::Majority { .. }
                | WaitsFor::Replacement { .. }
                | WaitsFor::TransferTarget { .. },
            ) => Severity::Degraded,
        }
    }
}

impl LocationStatus {
    /// A rollout that is blocked, for example by a unit that fails, does not end by itself.
    fn severity(&self) -> Severity {
        match self.condition {
            LocationCondition::Disabled | LocationCondition::Ready => Severity::Notice,
            LocationCondition::RollingOut if self.blocked.is_empty() => Severity::Notice,
            LocationCondition::RollingOut
            | LocationCondition::NoAgent
            | LocationCondition::AgentUnreachable
            | LocationCondition::UnitsMissing => Severity::Degraded,
        }
    }
}

/// Returns the status of the cluster. Expects the responses of all agents among the observations.
#[must_use]
pub fn cluster(state: &State, observations: &Observations) -> ClusterStatus {
    let mut conditions = Vec::new();
    conditions.extend(availability(state, observations));
    conditions.extend(states_differ(observations));
    conditions.extend(differing_settings(observations));
    conditions.extend(agents(state, observations));
    let duplicated = observations.responses.values().filter(|response| response.duplicated);
    conditions.extend(
        duplicated.map(|response| Condition::AgentDuplicated { agent: response.agent.clone() }),
    );
    conditions.extend(low_disks(state, observations));
    conditions.extend(long_round_trips(state, observations));
    let pending = observations.members.values().filter_map(pending_member);
    conditions.extend(pending.map(Condition::MemberPending));
    conditions.extend(locations(state, observations));
    conditions.extend(few_voters(observations));
    // A stable sort: conditions of one severity keep this order.
    conditions.sort_by_key(|condition| Reverse(condition.severity()));
    ClusterStatus { conditions }
}

/// Returns why changes are refused, if they are.
fn availability(state: &State, observations: &Observations) -> Option<Condition> {
    let voters: Vec<_> = observations.members.values().filter(|member| member.voter).collect();
    let reachable = |member: &&&Member| is_reachable(state, observations, member);
    let (reachable, needed) = (voters.iter().filter(reachable).count(), voters.len() / 2 + 1);
    if reachable < needed {
        return Some(Condition::NoQuorum { reachable, voters: voters.len(), needed });
    }
    match observations.source() {
        Source::Leader => None,
        Source::Contacted => (!leader_responds(state, observations)).then_some(Condition::NoLeader),
    }
}

fn is_reachable(state: &State, observations: &Observations, member: &Member) -> bool {
    match (agent_of(state, member.node), observations.source()) {
        (Some(agent), _) => observations.silence(agent).is_none(),
        // Its agent was removed, so no request is sent to it: the leader's contact decides.
        (None, Source::Leader) => observations.silence_to_leader(member.node, false).is_none(),
        (None, Source::Contacted) => member.node == observations.contacted,
    }
}

/// True if the known leader responded, and only its view of the members did not arrive in time.
fn leader_responds(state: &State, observations: &Observations) -> bool {
    let leader = observations.leader.filter(|leader| *leader != observations.contacted);
    let agent = leader.and_then(|leader| agent_of(state, leader));
    let response = agent.and_then(|agent| observations.responses.get(&agent.description.name));
    response.is_some_and(|response| response.position.is_some())
}

/// Agents that contradict another one: in the state at one log index, or in the events up to one
/// revision.
fn states_differ(observations: &Observations) -> Option<Condition> {
    let responses = observations.responses.values();
    let positions: Vec<_> = responses.clone().filter_map(|response| response.position).collect();
    let contradict = |one: &Progress, other: &Progress| {
        one.applied == other.applied && one.state != other.state
            || one.revision == other.revision && one.events != other.events
    };
    let differs = |response: &&AgentResponse| {
        response.position.is_some_and(|own| positions.iter().any(|other| contradict(&own, other)))
    };
    let agents: Vec<_> = responses.filter(differs).map(|response| response.agent.clone()).collect();
    (!agents.is_empty()).then_some(Condition::StatesDiffer { agents })
}

fn agents<'a>(
    state: &'a State,
    observations: &'a Observations,
) -> impl Iterator<Item = Condition> + 'a {
    let condition = |agent: &Agent| {
        let (name, region) = (agent.description.name.clone(), agent.description.region.clone());
        match agent_condition(observations, agent) {
            AgentCondition::Reachable => None,
            AgentCondition::NotResponding => {
                Some(Condition::AgentNotResponding { agent: name, region })
            }
            AgentCondition::Unreachable { silence } => {
                let units = state.units_on(&name).count();
                Some(Condition::AgentUnreachable { agent: name, region, silence, units })
            }
        }
    };
    state.agents.values().filter_map(condition)
}

/// Agents that did not respond are not compared.
fn differing_settings(observations: &Observations) -> impl Iterator<Item = Condition> + '_ {
    SharedSetting::ALL.into_iter().filter_map(|setting| {
        let mut values: BTreeMap<String, Vec<AgentName>> = BTreeMap::new();
        for response in observations.responses.values() {
            if let Some(value) = response.settings.get(&setting) {
                values.entry(value.clone()).or_default().push(response.agent.clone());
            }
        }
        (values.len() > 1).then_some(Condition::SettingDiffers { setting, values })
    })
}

fn low_disks<'a>(
    state: &'a State,
    observations: &'a Observations,
) -> impl Iterator<Item = Condition> + 'a {
    let condition = |response: &AgentResponse| {
        let disk = response.disk.filter(|disk| disk.is_low())?;
        let Agent { description, .. } = state.agents.get(&response.agent)?;
        let (agent, region) = (description.name.clone(), description.region.clone());
        let leads = observations.leader == Some(description.node);
        Some(Condition::DiskLow { agent, region, disk, leads })
    };
    observations.responses.values().filter_map(condition)
}

/// Voters to which the round trip from the contacted node, also a voter, is too long. The round trips
/// of a member without a vote delay no election, and those to an agent that stopped responding are
/// old.
fn long_round_trips<'a>(
    state: &'a State,
    observations: &'a Observations,
) -> impl Iterator<Item = Condition> + 'a {
    let (observer, limit) = (observations.contacted, observations.round_trips.limit);
    let votes = |node| observations.members.get(&node).is_some_and(|member| member.voter);
    state.agents.values().filter_map(move |agent| {
        let node = agent.description.node;
        let median = *observations.round_trips.medians.get(&node)?;
        let responds = agent_condition(observations, agent) == AgentCondition::Reachable;
        let is_long = median > limit && votes(observer) && votes(node) && responds;
        let agent = agent.description.name.clone();
        is_long.then_some(Condition::LongRoundTrip { observer, agent, median, limit })
    })
}

fn locations<'a>(
    state: &'a State,
    observations: &'a Observations,
) -> impl Iterator<Item = Condition> + 'a {
    state.services.values().flat_map(move |service| {
        service.locations.iter().filter_map(move |(region, row)| {
            let status = location(state, observations, service, region, row);
            match status.condition {
                LocationCondition::Disabled | LocationCondition::Ready => None,
                LocationCondition::NoAgent
                | LocationCondition::AgentUnreachable
                | LocationCondition::UnitsMissing
                | LocationCondition::RollingOut => Some(Condition::Location {
                    service: service.name.clone(),
                    region: region.clone(),
                    units: row.units,
                    status,
                }),
            }
        })
    })
}

fn few_voters(observations: &Observations) -> Option<Condition> {
    let voters = observations.members.values().filter(|member| member.voter).count();
    (voters < SAFE_VOTERS).then_some(Condition::FewVoters { voters })
}
