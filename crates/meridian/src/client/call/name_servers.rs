//! The name servers of the agents.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use meridian_proto::v1;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::client::contract;
use crate::client::endpoint::Endpoint;
use crate::client::failover;
use crate::client::failure::Failure;
use crate::client::lookup;
use crate::client::session::Session;
use crate::exit;

/// Name servers of a zone.
pub struct NameServers {
    /// The zone.
    pub zone: String,
    /// Their addresses, in the order in which they are asked.
    pub addresses: Vec<SocketAddr>,
}

/// Asks every agent of the cluster for its name server. Those in the region `near` are first.
///
/// # Errors
/// If no agent has a name server, or no zone is configured.
pub async fn find(session: &Session, near: Option<&str>) -> Result<NameServers, Failure> {
    let request = v1::GetDnsRequest { consistency: session.consistency().into() };
    let first = session
        .read(request, async |channel, request| contract::routing(channel).get_dns(request).await)
        .await?;
    let zone = first.settings.map(|settings| settings.zone).unwrap_or_default();
    if zone.is_empty() {
        return Err(Failure::Refused {
            cause: "no zone is configured, so the service has no name".to_owned(),
            next: "set one with `meridian dns set --zone ZONE`".to_owned(),
        });
    }
    let members = lookup::members(session).await?;
    let endpoints: Vec<Endpoint> =
        members.iter().filter_map(|member| member.address.as_ref()?.parse().ok()).collect();
    let limit = session.client.timeout() / 4;
    let asked = endpoints.iter().map(|endpoint| ask(endpoint, limit));
    let mut found: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    if let Some(near) = near
        && !found.iter().any(|server| server.region == near)
    {
        exit::note(
            &format!("no name server in {near} responds; asking those of other regions"),
            "`meridian cluster members` lists the regions with agents",
        );
    }
    // A stable sort: within and outside of the region, the order of the members remains.
    found.sort_by_key(|server| near.is_some_and(|near| server.region != near));
    let addresses: Vec<_> = found.into_iter().flat_map(|server| server.addresses).collect();
    if addresses.is_empty() {
        return Err(Failure::Refused {
            cause: "no agent that responds has a name server".to_owned(),
            next: "set `dns_listen` on the agents".to_owned(),
        });
    }
    Ok(NameServers { zone, addresses })
}

/// Name server of an agent.
struct Server {
    region: String,
    addresses: Vec<SocketAddr>,
}

/// Asks an agent for its own name server; `None` if it does not respond in time.
async fn ask(endpoint: &Endpoint, limit: Duration) -> Option<Server> {
    let asked = async {
        let channel = failover::connect(endpoint, limit).await.ok()?;
        let request = v1::GetDnsRequest { consistency: v1::Consistency::Stale.into() };
        Some(contract::routing(channel).get_dns(request).await.ok()?.into_inner())
    };
    let response = timeout(limit, asked).await.ok()??;
    let host = host_of(endpoint).await;
    let addresses = response.contacted_addresses.iter().filter_map(|text| text.parse().ok());
    let reachable = |address: SocketAddr| match address.ip().is_unspecified() {
        true => Some(SocketAddr::new(host?, address.port())),
        false => Some(address),
    };
    Some(Server {
        region: response.contacted_region,
        addresses: addresses.filter_map(reachable).collect(),
    })
}

/// The address of the agent's machine, by the endpoint at which it just responded.
async fn host_of(endpoint: &Endpoint) -> Option<IpAddr> {
    lookup_host(endpoint.to_string()).await.ok()?.next().map(|address| address.ip())
}
