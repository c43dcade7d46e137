//! The check for convergence.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use meridian_domain::Unit;
use meridian_domain::reachability::Loss;
use meridian_storage::rows;

use crate::agent::Agent;

/// Checks that all agents are running and agree, and that each machine runs exactly its desired
/// units.
///
/// # Errors
/// The first violated condition.
pub fn check(agents: &[Arc<Agent>]) -> anyhow::Result<()> {
    let mut positions = BTreeSet::new();
    let mut leaders = BTreeSet::new();
    for agent in agents {
        let process = agent.process().with_context(|| format!("{} is not running", agent.host))?;
        let state = process.ports.read.state();
        positions.insert((process.ports.history.chain(), rows::digest(&state)));
        leaders.insert(process.ports.leadership.borrow().leader());
        let lost = state.losses.iter().filter(|(_, losses)| losses.values().any(Loss::is_current));
        let lost: Vec<_> = lost.collect();
        ensure!(lost.is_empty(), "{}: gateways are lost: {lost:?}", agent.host);
        let name = &agent.description.name;
        let units: Vec<_> = state.units_on(name).collect();
        let newest = |unit: &Unit| Some(state.services.get(&unit.id.service)?.configuration);
        let serves = |unit: &Unit| unit.is_ready() && unit.configuration() == newest(unit);
        let unready: Vec<_> = units.iter().filter(|unit| !serves(unit)).collect();
        ensure!(unready.is_empty(), "{}: units not ready: {unready:?}", agent.host);
        let mut desired: Vec<_> = units.iter().map(|unit: &&Unit| unit.incarnation).collect();
        desired.sort();
        let ready = agent.machine.ready();
        ensure!(
            ready == desired && agent.machine.count() == desired.len(),
            "{}: desired units {desired:?}, ready {ready:?}",
            agent.host
        );
    }
    ensure!(positions.len() == 1, "the agents are at different positions: {positions:?}");
    ensure!(
        leaders.len() == 1 && !leaders.contains(&None),
        "the agents have different leaders: {leaders:?}"
    );
    Ok(())
}
