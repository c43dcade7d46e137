//! `meridian recover --readdress`: new peer addresses of members that cannot tell each other.

use std::collections::BTreeMap;

use meridian_domain::{Address, NodeId};
use meridian_storage::disk::addresses::{AddressOverride, AddressOverrides};

use crate::cli::AgentEndpoint;
use crate::client::Failure;
use crate::exit;

use super::offline::{Offline, refused_directory};

/// Returns the node of each named agent with its new address.
///
/// # Errors
/// If a name is not that of a member.
pub fn resolve(
    offline: &Offline,
    given: &[AgentEndpoint],
) -> Result<BTreeMap<NodeId, Address>, Failure> {
    let members = offline.contents.members.keys();
    let nodes: BTreeMap<String, NodeId> =
        members.map(|node| (offline.name_of(*node), *node)).collect();
    let resolve = |agent: &AgentEndpoint| {
        let node = nodes.get(agent.name.as_str()).copied();
        let node = node.ok_or_else(|| Failure::Usage {
            cause: format!("no member is named {}", agent.name),
            next: format!("use one of {}", nodes.keys().cloned().collect::<Vec<_>>().join(", ")),
        });
        Ok((node?, agent.address.clone()))
    };
    given.iter().map(resolve).collect()
}

/// Stores the addresses in the data directory. Earlier ones of other members stay in effect.
///
/// # Errors
/// If they cannot be stored.
pub fn store(offline: &mut Offline, given: BTreeMap<NodeId, Address>) -> Result<(), Failure> {
    let in_log = &offline.contents.members;
    let mut addresses = offline.addresses_in_effect();
    addresses.extend(given);
    let changed = addresses.into_iter().filter_map(|(node, address)| {
        let replaces = in_log.get(&node)?.clone();
        (replaces != address).then_some((node, AddressOverride { replaces, address }))
    });
    let overrides = AddressOverrides { by_node: changed.collect() };
    offline.directory.store_address_overrides(&overrides).map_err(refused_directory)?;
    exit::message(format_args!(
        "stored; run the command on every other member too, and set peer_advertise of each agent \
         before you start them"
    ));
    offline.overrides = overrides;
    Ok(())
}
