//! Status of the cluster: everything that an operator should know, worst first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::loss::Loss;
use crate::name::AgentName;
use crate::routing::{Availability, availability as of_location};
use crate::service::Service;
use crate::state::State;

use super::agent::{AgentCondition, agent as agent_condition, agent_of};
use super::condition::{Condition, Severity};
use super::location::{LocationCondition, location};
use super::member::{Member, pending_member};
use super::observations::{AgentResponse, Observations, Progress, Source};
use super::settings::SharedSetting;

/// Minimum number of voters with which the loss of any one stops no changes.
const SAFE_VOTERS: usize = 3;

/// Status of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Everything that an operator should know, worst first.
    pub conditions: Vec<Condition>,
}

/// Health of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// At most notices.
    Healthy,
    /// Capacity or redundancy is below what was declared.
    Degraded,
    /// No region of some service serves.
    ServiceUnavailable,
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
            Some(Severity::ServiceUnavailable) => Health::ServiceUnavailable,
            Some(Severity::ChangesRefused) => Health::ChangesRefused,
        }
    }
}

/// Returns the status of the cluster. Expects the responses of all agents among the observations.
#[must_use]
pub fn cluster(state: &State, observations: &Observations) -> ClusterStatus {
    let mut conditions = Vec::new();
    let refused = availability(state, observations);
    let local_view = refused.as_ref().and_then(|_| local_view(state, observations));
    conditions.extend(refused);
    conditions.extend(local_view);
    conditions.extend(partly_unreachable(state, observations));
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
    conditions.extend(state.services.values().filter_map(|service| unavailable(state, service)));
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

/// Returns the local view by which the contacted agent responds to lookups, if there is a zone.
fn local_view(state: &State, observations: &Observations) -> Option<Condition> {
    state.header.dns.zone.as_ref()?;
    let age = observations.leader_contact;
    let is_silent = age.is_none_or(|age| age >= observations.unreachable_after);
    is_silent.then_some(Condition::LocalView { age })
}

/// Gateways that some groups fail to reach, too few for a loss.
fn partly_unreachable<'a>(
    state: &'a State,
    observations: &'a Observations,
) -> impl Iterator<Item = Condition> + 'a {
    let votes = observations.votes.iter().filter(|votes| {
        let losses = state.losses.get(&votes.agent);
        let loss = losses.and_then(|losses| losses.get(&votes.gateways));
        !votes.unreachable_from.is_empty()
            && !votes.is_loss()
            && !loss.is_some_and(Loss::is_current)
            && state.agents.contains_key(&votes.agent)
    });
    votes.map(|votes| Condition::PartlyUnreachable {
        agent: votes.agent.clone(),
        gateways: votes.gateways.clone(),
        unreachable_from: votes.unreachable_from.clone(),
        groups: votes.groups,
    })
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

/// Returns the condition of a service that no region serves.
fn unavailable(state: &State, service: &Service) -> Option<Condition> {
    let locations = service.locations.iter();
    let locations = locations.map(|(region, row)| of_location(state, service, region, row));
    let enabled: Vec<_> = locations.filter(|it| *it != Availability::Disabled).collect();
    let is_unavailable = !enabled.iter().any(|it| it.serves());
    let (service, enabled) = (service.name.clone(), enabled.len());
    is_unavailable.then_some(Condition::ServiceUnavailable { service, enabled })
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
                LocationCondition::DrainingClients
                | LocationCondition::NoAgent
                | LocationCondition::Offline { .. }
                | LocationCondition::Unmanaged
                | LocationCondition::AgentUnreachable
                | LocationCondition::Degraded
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
