//! Registers, updates, drains and removes agents.

use super::assignment::{self, Capacity};
use super::decision::Decision;
use crate::agent::{Agent, AgentDescription, is_host};
use crate::event::Event;
use crate::limits;
use crate::name::AgentName;
use crate::rejection::Rejection;
use crate::unknown;

pub(super) fn register(decision: &mut Decision<'_>, agent: &AgentDescription) {
    check(decision, agent);
    match decision.state.agents.get(&agent.name) {
        Some(known) => update(decision, &known.description, agent),
        None => join(decision, agent),
    }
}

/// Registers an agent of a new cluster. There are no services yet, so nothing is placed on it.
pub(super) fn register_initial(decision: &mut Decision<'_>, agent: &AgentDescription) {
    check(decision, agent);
    decision.emit(Event::AgentRegistered { agent: agent.clone() });
}

/// Checks the rules that hold for new and for known agents.
fn check(decision: &mut Decision<'_>, agent: &AgentDescription) {
    let state = decision.state;
    if state.region(&agent.region).is_none() {
        decision.reject(unknown::region(state, &agent.region));
    }
    if agent.gateway_host.len() > limits::ADDRESS_BYTES || !is_host(&agent.gateway_host) {
        let host = agent.gateway_host.chars().take(limits::ADDRESS_BYTES).collect();
        decision.reject(Rejection::InvalidGatewayHost { agent: agent.name.clone(), host });
    }
    let in_zone = state.header.dns.zone.as_ref().filter(|zone| zone.contains(&agent.gateway_host));
    if let Some(zone) = in_zone {
        let (host, zone) = (agent.gateway_host.clone(), zone.to_string());
        decision.reject(Rejection::GatewayHostInZone { agent: agent.name.clone(), host, zone });
    }
    let current = state.header.data_version;
    if agent.supports < current {
        decision.reject(Rejection::DataVersionUnsupported {
            agent: agent.name.clone(),
            supports: agent.supports,
            requested: current,
        });
    }
    let same_node = |other: &&Agent| {
        other.description.node == agent.node && other.description.name != agent.name
    };
    if let Some(other) = state.agents.values().find(same_node) {
        let name = other.description.name.clone();
        decision.reject(Rejection::NodeTaken { agent: name, node: agent.node });
    }
}

fn join(decision: &mut Decision<'_>, agent: &AgentDescription) {
    if decision.state.agents.len() >= limits::AGENTS {
        let resource = "agents".to_owned();
        decision.reject(Rejection::TooMany { resource, max: limits::AGENTS as u32 });
    }
    decision.emit(Event::AgentRegistered { agent: agent.clone() });
    if !agent.witness {
        let mut hosts = assignment::hosts(decision.state, &agent.region);
        hosts.insert(agent.name.clone(), agent.zone);
        let capacity = Capacity::Limited;
        assignment::place_region(decision, &agent.region, &hosts, None, capacity);
    }
}

fn update(decision: &mut Decision<'_>, known: &AgentDescription, agent: &AgentDescription) {
    if known.node != agent.node {
        let taken = Rejection::AgentNameTaken { agent: agent.name.clone(), node: known.node };
        return decision.reject(taken);
    }
    let immutable = [
        ("region", known.region == agent.region),
        ("zone", known.zone == agent.zone),
        ("witness", known.witness == agent.witness),
    ];
    for (field, _) in immutable.into_iter().filter(|(_, same)| !same) {
        let field = field.to_owned();
        decision.reject(Rejection::ImmutableAgentField { agent: agent.name.clone(), field });
    }
    if known != agent {
        decision.emit(Event::AgentUpdated { agent: agent.clone() });
    }
}

pub(super) fn drain(decision: &mut Decision<'_>, name: &AgentName) {
    let Some(agent) = find(decision, name) else {
        return;
    };
    if agent.drained {
        return;
    }
    check_not_last(decision, name);
    decision.emit(Event::AgentDrained { agent: name.clone() });
    let region = &agent.description.region;
    let mut hosts = assignment::hosts(decision.state, region);
    hosts.remove(name);
    assignment::place_region(decision, region, &hosts, None, Capacity::Unlimited);
}

pub(super) fn undrain(decision: &mut Decision<'_>, name: &AgentName) {
    let Some(agent) = find(decision, name) else {
        return;
    };
    if !agent.drained {
        return;
    }
    decision.emit(Event::AgentUndrained { agent: name.clone() });
    if !agent.description.witness {
        let region = &agent.description.region;
        let mut hosts = assignment::hosts(decision.state, region);
        hosts.insert(name.clone(), agent.description.zone);
        assignment::place_region(decision, region, &hosts, None, Capacity::Limited);
    }
}

pub(super) fn remove(decision: &mut Decision<'_>, name: &AgentName) {
    let Some(agent) = find(decision, name) else {
        return;
    };
    check_not_last(decision, name);
    let node = agent.description.node;
    decision.emit(Event::AgentRemoved { agent: name.clone(), node });
    let region = &agent.description.region;
    let mut hosts = assignment::hosts(decision.state, region);
    hosts.remove(name);
    assignment::place_region(decision, region, &hosts, Some(name), Capacity::Unlimited);
}

fn find<'a>(decision: &mut Decision<'a>, name: &AgentName) -> Option<&'a Agent> {
    let state = decision.state;
    let agent = state.agents.get(name);
    if agent.is_none() {
        decision.reject(unknown::agent(state, name));
    }
    agent
}

/// Rejects draining or removing the last agent that is not drained: only undrained agents vote.
fn check_not_last(decision: &mut Decision<'_>, name: &AgentName) {
    let mut others = decision.state.agents.iter().filter(|(other, _)| *other != name);
    if others.all(|(_, other)| other.drained) {
        decision.reject(Rejection::LastAgent { agent: name.clone() });
    }
}
