//! The name servers of the zone.

use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::limits;
use crate::name::RegionName;
use crate::state::State;

/// Returns the agents that are listed as name servers of the zone. The list does not depend on which
/// of them is reachable: resolvers keep it for an hour, and try another one.
#[must_use]
pub fn name_servers(state: &State) -> Vec<&Agent> {
    let configured = &state.header.dns.name_servers;
    if !configured.is_empty() {
        // An agent may have been removed since.
        return configured.iter().filter_map(|name| state.agents.get(name)).collect();
    }
    let mut first: BTreeMap<&RegionName, &Agent> = BTreeMap::new();
    for agent in state.agents.values() {
        first.entry(&agent.description.region).or_insert(agent);
    }
    first.into_values().take(limits::NAME_SERVERS).collect()
}
