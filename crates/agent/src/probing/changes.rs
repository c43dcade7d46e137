//! Log lines about what this agent fails to reach, once for each change.

use std::collections::BTreeSet;

use meridian_domain::AgentName;
use meridian_domain::reachability::Gateways;
use meridian_domain::reachability::votes::{Observations, Reach};

/// Gateways that this agent fails to reach.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeSet<(AgentName, Gateways)>);

impl Changes {
    /// Logs the difference from the last observations.
    pub(super) fn log(&mut self, observations: &Observations) {
        let unreachable = unreachable(observations);
        for (agent, gateways) in unreachable.difference(&self.0) {
            tracing::info!(%agent, %gateways, "gateways unreachable from this agent");
        }
        for (agent, gateways) in self.0.difference(&unreachable) {
            tracing::info!(%agent, %gateways, "gateways no longer unreachable from this agent");
        }
        self.0 = unreachable;
    }
}

/// Returns the gateways that are unreachable.
pub(super) fn unreachable(observations: &Observations) -> BTreeSet<(AgentName, Gateways)> {
    let rows = observations.iter().flat_map(|(agent, observed)| {
        observed.gateways.iter().map(move |(gateways, reach)| (agent, gateways, *reach))
    });
    let unreachable = rows.filter(|(_, _, reach)| *reach == Reach::Unreachable);
    unreachable.map(|(agent, gateways, _)| (agent.clone(), gateways.clone())).collect()
}
