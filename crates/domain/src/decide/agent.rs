//! Agents come, change their addresses, are drained and go.

use super::decision::Decision;
use super::placing;
use crate::agent::{Agent, AgentDescription, is_host};
use crate::event::Event;
use crate::limits;
use crate::name::{AgentName, RegionName};
use crate::nearest::nearest;
use crate::rejection::Rejection;
use crate::state::State;

pub(super) fn register(decision: &mut Decision<'_>, agent: &AgentDescription) {
    check(decision, agent);
    match decision.state.agents.get(&agent.name) {
        Some(known) => update(decision, &known.description, agent),
        None => join(decision, agent),
    }
}

/// Before there is a service, there is nothing to place.
pub(super) fn register_founder(decision: &mut Decision<'_>, agent: &AgentDescription) {
    check(decision, agent);
    decision.happens(Event::AgentRegistered { agent: agent.clone() });
}

/// What holds for a new agent and for a known one.
fn check(decision: &mut Decision<'_>, agent: &AgentDescription) {
    let state = decision.state;
    if state.region(&agent.region).is_none() {
        decision.refuse(unknown_region(state, &agent.region));
    }
    if agent.gateway_host.len() > limits::ADDRESS_BYTES || !is_host(&agent.gateway_host) {
        let given = agent.gateway_host.chars().take(limits::ADDRESS_BYTES).collect();
        decision.refuse(Rejection::NotAHost { agent: agent.name.clone(), given });
    }
    let wanted = state.header.data_version;
    if agent.supports < wanted {
        decision.refuse(Rejection::DataVersionUnsupported {
            agent: agent.name.clone(),
            supports: agent.supports,
            wanted,
        });
    }
    let same_node = |other: &&Agent| {
        other.description.node == agent.node && other.description.name != agent.name
    };
    if let Some(other) = state.agents.values().find(same_node) {
        let name = other.description.name.clone();
        decision.refuse(Rejection::NodeTaken { agent: name, node: agent.node });
    }
}

fn join(decision: &mut Decision<'_>, agent: &AgentDescription) {
    if decision.state.agents.len() >= limits::AGENTS {
        let what = "agents".to_owned();
        decision.refuse(Rejection::TooMany { what, most: limits::AGENTS as u32 });
    }
    decision.happens(Event::AgentRegistered { agent: agent.clone() });
    if !agent.witness {
        let mut hosts = placing::hosts(decision.state, &agent.region);
        hosts.insert(agent.name.clone(), agent.zone);
        placing::place_region(decision, &agent.region, &hosts, None);
    }
}

fn update(decision: &mut Decision<'_>, known: &AgentDescription, agent: &AgentDescription) {
    if known.node != agent.node {
        let taken = Rejection::AgentNameTaken { agent: agent.name.clone(), node: known.node };
        return decision.refuse(taken);
    }
    let fixed = [
        ("region", known.region == agent.region),
        ("zone", known.zone == agent.zone),
        ("being a witness or not", known.witness == agent.witness),
    ];
    for (what, _) in fixed.into_iter().filter(|(_, same)| !same) {
        let what = what.to_owned();
        decision.refuse(Rejection::AgentChanged { agent: agent.name.clone(), what });
    }
    if known != agent {
        decision.happens(Event::AgentUpdated { agent: agent.clone() });
    }
}

pub(super) fn drain(decision: &mut Decision<'_>, name: &AgentName) {
    let Some(agent) = find(decision, name) else {
        return;
    };
    if agent.drained {
        return;
    }
    keep_the_last(decision, name);
    decision.happens(Event::AgentDrained { agent: name.clone() });
    let region = &agent.description.region;
    let mut hosts = placing::hosts(decision.state, region);
    hosts.remove(name);
    placing::place_region(decision, region, &hosts, None);
}

pub(super) fn undrain(decision: &mut Decision<'_>, name: &AgentName) {
    let Some(agent) = find(decision, name) else {
        return;
    };
    if !agent.drained {
        return;
    }
    decision.happens(Event::AgentUndrained { agent: name.clone() });
    if !agent.description.witness {
        let region = &agent.description.region;
        let mut hosts = placing::hosts(decision.state, region);
        hosts.insert(name.clone(), agent.description.zone);
        placing::place_region(decision, region, &hosts, None);
    }
}

pub(super) fn remove(decision: &mut Decision<'_>, name: &AgentName) {
    let Some(agent) = find(decision, name) else {
        return;
    };
    keep_the_last(decision, name);
    let node = agent.description.node;
    decision.happens(Event::AgentRemoved { agent: name.clone(), node });
    let region = &agent.description.region;
    let mut hosts = placing::hosts(decision.state, region);
    hosts.remove(name);
    placing::place_region(decision, region, &hosts, Some(name));
}

fn find<'a>(decision: &mut Decision<'a>, name: &AgentName) -> Option<&'a Agent> {
    let state = decision.state;
    let agent = state.agents.get(name);
    if agent.is_none() {
        decision.refuse(unknown_agent(state, name));
    }
    agent
}

/// The log has to be kept by an agent that is not on its way out.
fn keep_the_last(decision: &mut Decision<'_>, name: &AgentName) {
    let mut others = decision.state.agents.iter().filter(|(other, _)| *other != name);
    if others.all(|(_, other)| other.drained) {
        decision.refuse(Rejection::LastAgent { agent: name.clone() });
    }
}

pub(super) fn unknown_agent(state: &State, agent: &AgentName) -> Rejection {
    let nearest = nearest(agent.as_str(), state.agents.keys().map(AgentName::as_str));
    Rejection::AgentUnknown { agent: agent.clone(), nearest }
}

pub(super) fn unknown_region(state: &State, region: &RegionName) -> Rejection {
    let known = state.all_regions().map(|region| region.name.as_str());
    Rejection::RegionUnknown { region: region.clone(), nearest: nearest(region.as_str(), known) }
}
