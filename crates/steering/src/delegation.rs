//! Records that delegate the zone to its name servers, for the parent zone.
//!
//! The parent zone is in the hands of its operator, so the records are printed in the format of zone
//! files (RFC 1035, section 5), one in each line.

use std::net::IpAddr;

use meridian_domain::{DnsZone, State, name_servers};

/// Time to live in seconds, that of the same records in the zone itself.
pub(crate) const TTL_SECONDS: u32 = 3_600;

/// Returns the records. `addresses` resolves the hosts that agents advertise. A name server without an
/// address has no glue record: resolvers cannot reach it.
pub fn records(
    state: &State,
    zone: &DnsZone,
    addresses: impl Fn(&str) -> Vec<IpAddr>,
) -> Vec<String> {
    let (mut servers, mut glue) = (Vec::new(), Vec::new());
    for agent in name_servers::name_servers(state) {
        let name = format!("{}.ns.{zone}.", agent.description.name);
        servers.push(format!("{zone}. {TTL_SECONDS} IN NS {name}"));
        let known = addresses(&agent.description.gateway_host);
        if known.is_empty() {
            glue.push(format!("; {name} has no known address: resolvers cannot reach it"));
        }
        for address in known {
            let record_type = if address.is_ipv4() { "A" } else { "AAAA" };
            glue.push(format!("{name} {TTL_SECONDS} IN {record_type} {address}"));
        }
    }
    servers.append(&mut glue);
    servers
}
