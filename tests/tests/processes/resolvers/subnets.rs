//! Clients in several networks behind one resolver, with and without client subnet.

use std::net::Ipv4Addr;

use super::tools::{TOOLS, Tool};
use super::{SERVICE, WITH_SUBNET, WITHOUT_SUBNET, Zone};
use crate::support::execute_soon;

/// Clients with the region that their network is assigned to.
const CLIENTS: [(Ipv4Addr, &str); 2] =
    [(Ipv4Addr::new(127, 10, 1, 1), "eastus"), (Ipv4Addr::new(127, 11, 1, 1), "southeastasia")];
/// A client in a network that is not assigned.
const UNKNOWN: Ipv4Addr = Ipv4Addr::new(127, 12, 1, 1);
/// Number of queries of a client.
const ROUNDS: usize = 30;

/// Returns the addresses that a client finds, sorted.
async fn find(tool: Tool, resolver: Ipv4Addr, client: Ipv4Addr) -> Vec<String> {
    let response = tool.query(resolver, (SERVICE, "A"), false, &tool.from(client)).await;
    let response = response.unwrap_or_else(|error| panic!("{client}: {error:#}"));
    assert_eq!(response.status, "NOERROR", "{client}: {response:?}");
    response.data().into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_a_resolver_with_client_subnet_find_the_region_of_their_network() {
    let Some(zone) = Zone::start().await else { return };
    let networks = "network set 127.10.0.0/16=eastus 127.11.0.0/16=southeastasia";
    execute_soon(&zone.agents[0], networks).await;
    let subnet = zone.unbound(1, WITH_SUBNET).await;
    let plain = zone.unbound(2, WITHOUT_SUBNET).await;
    let knot = zone.knot(3).await;
    let europe = zone.gateway_texts("westeurope");
    let regions = ["westeurope", "eastus", "southeastasia"].map(|it| zone.gateway_texts(it));
    let mut of_unknown = [0; 3];
    for tool in TOOLS.into_iter().cycle().take(ROUNDS) {
        for (client, region) in CLIENTS {
            let found = find(tool, subnet.address, client).await;
            assert_eq!(found, zone.gateway_texts(region), "{client} by {tool:?}");
            // Without client subnet, the location of the resolver counts.
            for resolver in [Some(&plain), knot.as_ref()].into_iter().flatten() {
                assert_eq!(find(tool, resolver.address, client).await, europe, "{client}");
            }
        }
        // The name server that responds decides, but addresses of two regions are never mixed.
        let found = find(tool, subnet.address, UNKNOWN).await;
        let region = regions.iter().position(|of_region| *of_region == found);
        of_unknown[region.unwrap_or_else(|| panic!("{found:?} is no region"))] += 1;
    }
    println!("regions of an unknown client, by response: {of_unknown:?}");

    for (client, region) in CLIENTS {
        let [a, b, ..] = client.octets();
        for tool in [Tool::Dig, Tool::Kdig] {
            let option = format!("+subnet={a}.{b}.9.0/24");
            let response = tool.query(zone.name_server(), (SERVICE, "A"), false, &[option]).await;
            let response = response.unwrap_or_else(|error| panic!("{error:#}"));
            assert_eq!(response.data(), zone.gateway_texts(region));
            let scope = format!("CLIENT-SUBNET: {a}.{b}.9.0/24/16");
            assert!(response.text.contains(&scope), "{}", response.text);
        }
    }
}
