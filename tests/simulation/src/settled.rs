//! Whether a cluster has come to rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use meridian_domain::Unit;
use meridian_storage::rows;

use crate::agent::Agent;

/// Checks that all agents run and agree, and that on each machine runs what the log wants.
///
/// # Errors
/// What is missing.
pub fn check(agents: &[Arc<Agent>]) -> anyhow::Result<()> {
    let mut positions = BTreeSet::new();
    let mut leaders = BTreeSet::new();
    for agent in agents {
        let life = agent.life().with_context(|| format!("{} does not run", agent.host))?;
        let state = life.ports.read.state();
        positions.insert((life.ports.history.chain(), rows::digest(&state)));
        leaders.insert(life.ports.cluster.leader());
        let name = &agent.description.name;
        let units: Vec<_> = state.units_on(name).collect();
        let newest = |unit: &Unit| Some(state.services.get(&unit.id.service)?.configuration);
        let serves = |unit: &Unit| unit.is_ready() && unit.configuration() == newest(unit);
        let unready: Vec<_> = units.iter().filter(|unit| !serves(unit)).collect();
        ensure!(unready.is_empty(), "{}: not ready as the log says: {unready:?}", agent.host);
        let mut wanted: Vec<_> = units.iter().map(|unit: &&Unit| unit.incarnation).collect();
        wanted.sort();
        let ready = agent.machine.ready();
        ensure!(
            ready == wanted && agent.machine.count() == wanted.len(),
            "{}: {wanted:?} are to run, and {ready:?} do",
            agent.host
        );
    }
    ensure!(positions.len() == 1, "not all agents are at the same position: {positions:?}");
    ensure!(
        leaders.len() == 1 && !leaders.contains(&None),
        "not all agents have the same leader: {leaders:?}"
    );
    Ok(())
}
