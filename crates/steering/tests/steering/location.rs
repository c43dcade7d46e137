//! Location of clients, and the scope of responses (RFC 7871).

use std::collections::BTreeSet;

use hickory_proto::op::ResponseCode;
use meridian_domain::{Edit, RoutingPolicy};
use meridian_ports::{LocationSource, NameServer as _};

use crate::client::{Ask, udp};
use crate::cluster::{Cluster, region};
use crate::database::TestDatabase;
use crate::server::{TestServer, ip};

const WESTEUROPE: &str = "203.0.113.1";
const EASTUS: &str = "198.51.100.7";

/// Returns the first address for a client network, and the scope.
async fn ask(server: &TestServer, subnet: &str) -> (String, u8) {
    let ask = Ask::new("contoso", "A").subnet(subnet);
    let response = ask.udp(server).await;
    let subnet = response.subnet().expect("the option is repeated");
    let asked = format!("{}/{}", subnet.addr(), subnet.source_prefix());
    let expected: Vec<_> = ask.message.edns.iter().map(|_| asked.clone()).collect();
    assert_eq!(expected, [asked]);
    let mut answers = response.0.answers.iter().map(|record| record.data.to_string());
    (answers.next().unwrap_or_default(), response.scope().unwrap())
}

async fn check(server: &TestServer, table: &[(&str, &str, u8)]) {
    for (subnet, address, scope) in table {
        assert_eq!(ask(server, subnet).await, ((*address).to_owned(), *scope), "{subnet}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_networks_decide_and_their_prefix_is_the_scope() {
    let cluster = Cluster::contoso();
    cluster.assign("10.0.0.0/8", "eastus");
    cluster.assign("10.1.0.0/16", "westeurope");
    cluster.assign("2001:db8:1::/48", "eastus");
    let server = TestServer::start(cluster).await;
    let table = [
        ("10.1.2.0/24", WESTEUROPE, 16),
        // Raised, because 10.1.0.0/16 lies in 10.0.0.0/8, 10.0.0.0/14 and 10.0.0.0/15.
        ("10.2.0.0/24", EASTUS, 15),
        ("10.0.0.0/24", EASTUS, 16),
        ("10.128.0.0/24", EASTUS, 9),
        ("10.64.0.0/10", EASTUS, 10),
        // No network, and no database: as long as no network lies inside.
        ("192.0.2.0/24", WESTEUROPE, 1),
        ("11.0.0.0/8", WESTEUROPE, 8),
        ("2001:db8:1:ff00::/56", EASTUS, 48),
        ("2001:db8:2::/56", WESTEUROPE, 47),
        ("8000::/8", WESTEUROPE, 1),
    ];
    check(&server, &table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_networks_the_scope_is_0() {
    let server = TestServer::start(Cluster::contoso()).await;
    check(&server, &[("192.0.2.0/24", WESTEUROPE, 0), ("2001:db8::/56", WESTEUROPE, 0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_that_discloses_nothing_is_located_itself() {
    let cluster = Cluster::contoso();
    cluster.assign("127.0.0.0/8", "eastus");
    let server = TestServer::start(cluster).await;
    check(&server, &[("0.0.0.0/0", EASTUS, 0), ("::/0", EASTUS, 0)]).await;
    let plain = Ask::new("contoso", "A").udp(&server).await;
    assert!(plain.answers()[0].ends_with(EASTUS) && plain.subnet().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_of_the_database_that_decides_is_the_scope_also_of_a_miss() {
    let database = TestDatabase::new(&[
        ("198.51.100.0/24", Some((40.7, -74.0))),
        ("203.0.0.0/16", Some((52.3, 4.9))),
        // A country without coordinates.
        ("192.0.2.0/24", None),
    ]);
    let cluster = Cluster::contoso();
    cluster.assign("203.0.113.128/25", "eastus");
    let start = |config: &mut meridian_steering::Config| {
        config.location_database = Some(database.path());
    };
    let server = TestServer::start_with(cluster.clone(), start).await;
    assert_eq!(cluster.location_database(), database.digest());
    let table = [
        ("198.51.100.0/24", EASTUS, 24),
        ("198.51.100.128/25", EASTUS, 24),
        ("203.0.5.0/24", WESTEUROPE, 18),
        ("203.0.113.0/25", WESTEUROPE, 25),
        ("203.0.113.128/25", EASTUS, 25),
        ("192.0.2.0/24", WESTEUROPE, 24),
        // Misses: the tree ends at the first bit that differs from all networks.
        ("10.0.0.0/8", WESTEUROPE, 1),
        ("198.51.101.0/24", WESTEUROPE, 24),
        ("192.0.3.0/24", WESTEUROPE, 24),
        // A database without IPv6.
        ("2001:db8::/56", WESTEUROPE, 0),
    ];
    check(&server, &table).await;
    let located = server.handle.locate(ip("::ffff:198.51.100.1"));
    assert_eq!((located.source, located.scope), (LocationSource::Database, 24));
    let network = server.handle.locate(ip("203.0.113.200"));
    let expected = LocationSource::Network("203.0.113.128/25".parse().unwrap());
    assert_eq!((network.source, network.region), (expected, region("eastus")));
    let miss = server.handle.locate(ip("10.0.0.1"));
    assert_eq!((miss.source, miss.region), (LocationSource::OwnRegion, region("westeurope")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_database_is_none() {
    let database = TestDatabase::new(&[("198.51.100.0/24", Some((40.7, -74.0)))]);
    let path = database.path();
    let start = |config: &mut meridian_steering::Config| {
        config.location_database = Some(path.clone());
    };
    let bytes = database.bytes();
    // The data of the only record starts with the byte of a map.
    let data = bytes.iter().position(|byte| *byte == 0xe1).unwrap();
    let damaged = [&bytes[..data], &[0xff; 8], &bytes[data + 8..]].concat();
    for contents in [None, Some(&[][..]), Some(&bytes[..100]), Some(&damaged)] {
        match contents {
            None => std::fs::remove_file(&path).unwrap(),
            Some(contents) => std::fs::write(&path, contents).unwrap(),
        }
        let cluster = Cluster::contoso();
        let server = TestServer::start_with(cluster.clone(), start).await;
        assert_eq!(cluster.location_database(), "none");
        check(&server, &[("198.51.100.0/24", WESTEUROPE, 0)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_weighted_service_are_for_one_network() {
    let cluster = Cluster::contoso();
    cluster.edit("contoso", Edit::Routing(RoutingPolicy::Weighted));
    cluster.assign("192.0.2.128/25", "eastus");
    let server = TestServer::start(cluster).await;
    let mut regions = BTreeSet::new();
    for third in 0..60 {
        let (address, scope) = ask(&server, &format!("10.0.{third}.0/24")).await;
        assert_eq!(scope, 24);
        regions.insert(address);
        let (_, scope) = ask(&server, &format!("2001:db8:0:{third}00::/56")).await;
        assert_eq!(scope, 56);
    }
    // The third region has only an IPv6 address.
    assert_eq!(regions.len(), 3, "{regions:?}");
    assert_eq!(ask(&server, "192.0.2.128/25").await.1, 25, "and longer ones remain");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_the_same_for_all_clients_have_scope_0() {
    let cluster = Cluster::contoso();
    cluster.assign("10.0.0.0/8", "eastus");
    let server = TestServer::start(cluster).await;
    let names = [
        ("", "SOA"),
        ("", "NS"),
        ("eu-1.ns", "A"),
        ("eastus.contoso.regional", "A"),
        ("unknown", "A"),
        ("regional", "A"),
    ];
    for (name, record_type) in names {
        let response = Ask::new(name, record_type).subnet("10.1.2.0/24").udp(&server).await;
        assert_eq!(response.scope(), Some(0), "{name}");
    }
    let srv = Ask::new("_http._tcp.contoso", "SRV").subnet("10.1.2.0/24").udp(&server).await;
    assert_eq!(srv.scope(), Some(8));
    assert!(srv.answers()[0].contains("0 0 8080 eastus."), "{:?}", srv.answers());
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_client_subnets_are_format_errors() {
    let server = TestServer::start(Cluster::contoso()).await;
    let malformed: [&[u8]; 9] = [
        // Bits after the prefix, in the last byte or after it.
        &[0, 1, 24, 0, 192, 0, 2, 1],
        &[0, 1, 23, 0, 192, 0, 3],
        &[0, 2, 1, 0, 0x40],
        // Too short, too long.
        &[0, 1, 24, 0, 192, 0],
        &[0, 1, 33, 0, 192, 0, 2, 1, 0],
        &[0, 1, 24],
        // A scope.
        &[0, 1, 24, 24, 192, 0, 2],
        // Unknown families.
        &[0, 3, 24, 0, 192, 0, 2],
        &[0, 0, 8, 0, 10],
    ];
    for option in malformed {
        let response = udp(server.address, &with_subnet(option)).await.unwrap();
        let response = hickory_proto::op::Message::from_vec(&response).unwrap();
        assert_eq!(response.metadata.response_code, ResponseCode::FormErr, "{option:?}");
        assert!(response.edns.is_some(), "a server without EDNS would respond so, too");
    }
    let nothing = udp(server.address, &with_subnet(&[0, 0, 0, 0])).await.unwrap();
    assert_eq!(&nothing[nothing.len() - 4..], [0, 0, 0, 0]);
    assert_eq!(nothing[3] & 0xf, 0);
}

/// Returns a query with this content of the option.
fn with_subnet(option: &[u8]) -> Vec<u8> {
    let mut message = Ask::new("contoso", "A").edns(1_232).bytes();
    let length = message.len();
    let data_length = (option.len() + 4) as u8;
    message[length - 1] = data_length;
    message.extend([0, 8, 0, option.len() as u8]);
    message.extend(option);
    message
}
