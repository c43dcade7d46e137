//! Losses of gateways, and their ends.

use crate::loss::{Evidence, Gateways, Loss};
use crate::name::AgentName;
use crate::state::State;

pub(super) fn lose(
    state: &mut State,
    agent: &AgentName,
    gateways: &Gateways,
    evidence: &Evidence,
    relapses: u8,
) {
    let loss = Loss {
        evidence: evidence.clone(),
        revision: state.header.revision,
        since: state.header.time,
        found: None,
        relapses,
    };
    let now = state.header.time;
    let losses = state.losses.entry(agent.clone()).or_default();
    // They no longer count as relapses, and services come and go.
    losses.retain(|_, former| !former.is_forgotten(now));
    losses.insert(gateways.clone(), loss);
}

pub(super) fn find(state: &mut State, agent: &AgentName, gateways: &Gateways) {
    let now = state.header.time;
    let losses = state.losses.get_mut(agent);
    let loss = losses.and_then(|losses| losses.get_mut(gateways));
    loss.expect("found gateways were lost").found = Some(now);
}
