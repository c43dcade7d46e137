//! The name server. The first byte selects the transport, the client and the rate limit; the others
//! are what arrives from the network: a datagram, or a stream of messages with their lengths.

#[allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "shared with the tests of the server"
)]
#[path = "../../../crates/steering/tests/steering/cluster.rs"]
mod cluster;
mod response;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use meridian_domain::{Edit, RoutingPolicy};
use meridian_steering::Config;
use meridian_steering::detached::DetachedServer;

use super::environment::RUNTIME;
use cluster::{Cluster, region};
use response::{check, is_query, udp_limit};

/// Bit of the first byte: a stream instead of a datagram.
const STREAM: u8 = 1;
/// Bit of the first byte: a server with a rate limit, for a datagram.
const LIMITED: u8 = 2;
/// Clients, selected by the next two bits: in an assigned network, in none, and by IPv6.
const CLIENTS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(10, 2, 3, 4)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped()),
];
/// Maximum size of a message in a stream.
const QUERY_BYTES: usize = 4_096;

const PLACES: [&str; 4] = ["westeurope", "northeurope", "eastus", "southeastasia"];
/// Number of gateways of a service in each region.
const GATEWAYS: u16 = 12;

static CLUSTER: LazyLock<Arc<Cluster>> = LazyLock::new(|| {
    let cluster = Cluster::contoso();
    // More addresses than a datagram contains, of all regions together.
    for place in PLACES {
        for number in 1..=GATEWAYS {
            let host = format!("[2001:db8:{}::{number}]", place.len());
            cluster.register(&format!("{place}-{number}"), place, &host);
        }
    }
    for name in ["fabrikam", "weighted"] {
        cluster.create(name);
        for place in PLACES {
            cluster.edit(name, Edit::Set { region: region(place), units: GATEWAYS });
        }
    }
    cluster.edit("weighted", Edit::Routing(RoutingPolicy::Weighted));
    cluster.create("empty");
    cluster.all_ready();
    cluster.fail("us-1");
    cluster.assign("10.2.0.0/16", "eastus");
    cluster.assign("2001:db8:5::/48", "southeastasia");
    cluster.set_dns(|settings| settings.fallback_regions = 3);
    cluster
});

static SERVER: LazyLock<DetachedServer> = LazyLock::new(|| server(0));

/// Returns a server with a maximum number of responses per second to a network.
fn server(responses_per_second: u32) -> DetachedServer {
    let _context = RUNTIME.enter();
    let mut config = Config::new(vec![], region("westeurope"));
    config.responses_per_second = responses_per_second;
    config.lookup = Arc::new(|_| Box::pin(std::future::pending()));
    DetachedServer::new(&config, CLUSTER.clone(), CLUSTER.clone())
}

/// Returns true if the server responds.
pub fn accepts(data: &[u8]) -> bool {
    let Some((selection, bytes)) = data.split_first() else { return false };
    let client = CLIENTS[usize::from(selection >> 2) % CLIENTS.len()];
    match selection {
        _ if selection & STREAM != 0 => stream(bytes, client),
        _ if selection & LIMITED != 0 => limited(bytes, client),
        _ => datagram(bytes, client),
    }
}

fn datagram(query: &[u8], client: IpAddr) -> bool {
    let sender = SocketAddr::new(client, 5_353);
    let response = SERVER.datagram(query, sender);
    assert_eq!(response.is_some(), is_query(query), "only queries have a response");
    assert_eq!(SERVER.datagram(query, (client, 0).into()), None, "nobody receives at port 0");
    let Some(response) = response else { return false };
    let outline = check(query, &response);
    assert!(response.len() <= udp_limit(query), "{} bytes", response.len());
    // The first response was built, and the second one is kept.
    assert_eq!(SERVER.datagram(query, sender).as_ref(), Some(&response));
    if query.len() <= QUERY_BYTES {
        let framed = [&(query.len() as u16).to_be_bytes(), query].concat();
        let over_tcp = exchange(&framed, client);
        let over_tcp = check(query, &over_tcp[2..]);
        assert!(!over_tcp.is_truncated, "a response over TCP is complete");
        assert_eq!(over_tcp.code, outline.code);
        assert!(outline.is_truncated || over_tcp.required == outline.required);
    }
    true
}

/// Sends a datagram three times to a server with a limit of one response.
fn limited(query: &[u8], client: IpAddr) -> bool {
    let started = Instant::now();
    let server = server(1);
    let responses = [(); 3].map(|()| server.datagram(query, SocketAddr::new(client, 5_353)));
    if started.elapsed() > Duration::from_millis(500) {
        return is_query(query);
    }
    let [first, second, third] = responses;
    assert_eq!(third, None, "every other response above the limit is dropped");
    let Some(first) = first else { return false };
    let outline = check(query, &first);
    assert!(second.is_some() || !outline.has_answer(), "a client can retry over TCP");
    if let Some(second) = second {
        let outline = check(query, &second);
        assert!(outline.is_truncated && outline.code == 0);
    }
    true
}

fn stream(bytes: &[u8], client: IpAddr) -> bool {
    let sent = exchange(bytes, client);
    let mut responses = &sent[..];
    let mut queries = bytes;
    while let Some(query) = next_message(&mut queries) {
        if query.len() > QUERY_BYTES || !is_query(query) {
            break;
        }
        let response = next_message(&mut responses).expect("each query has a response");
        check(query, response);
    }
    assert!(responses.is_empty(), "a response without a query");
    !sent.is_empty()
}

/// Returns what the server sends on a connection on which it receives these bytes.
fn exchange(bytes: &[u8], client: IpAddr) -> Vec<u8> {
    let mut sent = Vec::new();
    let stream = tokio::io::join(bytes, &mut sent);
    // The end of the stream is an error.
    let _ = RUNTIME.block_on(SERVER.connection(stream, client));
    sent
}

/// Splits off the first message of a stream, if it is complete.
fn next_message<'a>(stream: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = stream.split_first_chunk::<2>()?;
    let (message, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    *stream = rest;
    Some(message)
}
